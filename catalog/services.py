"""What is done with the catalog: one use case, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any, TypeVar

from django.db import transaction

from catalog import money, presets
from catalog.drafts import (
    PriceDraft,
    billing_interval,
    drafts_of,
    interval_errors,
    unbillable,
    version_errors,
)
from catalog.metrics import metric_errors
from catalog.models import (
    MetricStatus,
    Plan,
    PlanVersion,
    Price,
    PriceTier,
    ValueMetric,
    VersionStatus,
)
from catalog.presets import Preset
from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, KeyTaken, Refusal

TERMS = (
    "currency",
    "interval",
    "interval_count",
    "trial_days",
    "minimum_commitment",
    "refund_unused",
    "tax_category",
    "prices_include_tax",
)
"""What is said of a plan version beside its prices."""

Copied = TypeVar("Copied", Price, PriceTier)


class MetricInUse(Refusal):
    """A published price uses the metric, so its definition is frozen."""

    code = "metric_in_use"


class VersionNotDraft(Refusal):
    """The version is published or retired, so it never changes (R19)."""

    code = "version_published"


class UnknownPreset(Refusal):
    """There is no preset of this key."""

    status = 404
    code = "unknown_preset"


class VersionNotPublished(Refusal):
    """The version is a draft, or retired already."""

    code = "version_not_published"


def create_metric(*, metric: ValueMetric, actor: Actor) -> ValueMetric:
    """Save a new metric.

    :raises KeyTaken: if another metric has its key.
    :raises Invalid: naming every field that its aggregation forbids or lacks.
    """
    _check_metric(metric)
    return records.create_keyed(metric, actor=actor)


@transaction.atomic
def change_metric(*, metric_id: int, fields: Mapping[str, Any], actor: Actor) -> ValueMetric:
    """Change a metric's fields; its definition only until a published price uses it.

    :raises MetricInUse: if a frozen field would change.
    :raises Invalid: naming every field that its aggregation forbids or lacks.
    """
    metric = ValueMetric.objects.select_for_update().get(pk=metric_id)
    frozen = [
        name
        for name, value in fields.items()
        if name in ValueMetric.DEFINITION and value != getattr(metric, name)
    ]
    if frozen and (price := _published_price_of(metric)):
        raise MetricInUse(
            f"“{metric}” is billed by {price.version}, so its {_listed(frozen)} can't change. "
            "Make a new metric and use it in a new plan version."
        )
    _check_metric(metric, fields)
    records.change(metric, fields=fields, actor=actor)
    return metric


def create_plan(*, plan: Plan, actor: Actor) -> Plan:
    """Save a new plan, without a version yet.

    :raises KeyTaken: if another plan has its key.
    """
    return records.create_keyed(plan, actor=actor)


@transaction.atomic
def change_plan_texts(*, plan_id: int, fields: Mapping[str, Any], actor: Actor) -> Plan:
    """Change a plan's name or description; its prices are in its versions."""
    plan = Plan.objects.select_for_update().get(pk=plan_id)
    records.change(plan, fields=fields, actor=actor)
    return plan


@transaction.atomic
def draft_version(
    *, plan_id: int, version: PlanVersion, prices: Sequence[PriceDraft], actor: Actor
) -> PlanVersion:
    """Save a new draft under the plan's next number, with its prices.

    :raises Invalid: naming every faulty field.
    """
    plan = Plan.objects.select_for_update().get(pk=plan_id)
    _check(version, prices)
    newest = plan.versions.order_by("-number").first()
    version.plan, version.number = plan, newest.number + 1 if newest else 1
    version.save()
    _save_prices(version, prices)
    audit.record(
        actor=actor,
        action="created",
        subject=version,
        changes=audit.changes({}, described(version)),
    )
    return version


@transaction.atomic
def replace_draft(
    *, version_id: int, terms: Mapping[str, Any], prices: Sequence[PriceDraft], actor: Actor
) -> PlanVersion:
    """Give a draft new terms and new prices in place of all it had.

    :raises VersionNotDraft: if it was published.
    :raises Invalid: naming every faulty field.
    """
    version = _locked_draft(version_id)
    before = described(version)
    for name, value in terms.items():
        setattr(version, name, value)
    _check(version, prices)
    version.save()
    version.prices.all().delete()
    _save_prices(version, prices)
    audit.record(
        actor=actor,
        action="changed",
        subject=version,
        changes=audit.changes(before, described(version)),
    )
    return version


@transaction.atomic
def copy_version(*, version_id: int, actor: Actor) -> PlanVersion:
    """Save a new draft with the terms and prices of another version of the plan."""
    source = PlanVersion.objects.with_prices().get(pk=version_id)
    copies = []
    for price, tiers in drafts_of(list(source.prices.all())):
        copies.append(PriceDraft(_copy(price), [_copy(tier) for tier in tiers]))
    version = PlanVersion(**{name: getattr(source, name) for name in TERMS})
    return draft_version(plan_id=source.plan_id, version=version, prices=copies, actor=actor)


@transaction.atomic
def import_preset(*, key: str, currency: str, actor: Actor) -> PlanVersion:
    """Save a preset: its metrics, its plan, and a draft with its prices in this currency.

    All of it or nothing. Amounts are taken as the preset writes them, whatever the currency.

    :raises UnknownPreset: if there is none of this key.
    :raises KeyTaken: naming every key of it that is taken, as all are once it was imported.
    :raises Invalid: if the currency is none.
    """
    if key not in presets.KEYS:
        known = ", ".join(presets.KEYS)
        raise UnknownPreset(f"There is no preset “{key}”. There are: {known}.")
    chosen = presets.preset(key)
    if taken := taken_keys(chosen):
        raise KeyTaken(
            f"“{chosen.name}” can't be imported: {_and(taken)} {'is' if len(taken) == 1 else 'are'} taken. Was it imported before? "
            "Then make a new version of that plan instead.",
            path=(),
        )
    metrics = [create_metric(metric=metric, actor=actor) for metric in chosen.new_metrics()]
    plan = create_plan(plan=chosen.new_plan(), actor=actor)
    return draft_version(
        plan_id=plan.pk,
        version=chosen.new_version(currency),
        prices=chosen.new_prices(metrics),
        actor=actor,
    )


def taken_keys(chosen: Preset) -> list[str]:
    """List what of a preset is there already, each as "the plan key seats"."""
    keys = [fields["key"] for fields in chosen.metrics]
    found = [f"the plan key “{plan.key}”" for plan in Plan.objects.filter(key=chosen.key)]
    metrics = ValueMetric.objects.filter(key__in=keys).order_by("pk")
    return [*found, *(f"the metric key “{metric.key}”" for metric in metrics)]


@transaction.atomic
def discard_draft(*, version_id: int, actor: Actor) -> None:
    """Delete a draft that nobody saw.

    :raises VersionNotDraft: if it was published.
    """
    version = _locked_draft(version_id)
    audit.record(
        actor=actor,
        action="discarded",
        subject=version,
        changes=audit.changes(described(version), {}),
    )
    version.delete()


@transaction.atomic
def publish_version(*, version_id: int, at: datetime, actor: Actor) -> PlanVersion:
    """Freeze a draft and offer it: new subscriptions in its currency get it from now on (R19).

    Subscriptions on earlier versions keep them. The metrics it uses become active.

    :raises VersionNotDraft: if somebody published it before.
    :raises Invalid: naming every faulty field of its prices.
    """
    version = _locked_draft(version_id)
    prices = list(version.prices.select_related("metric").prefetch_related("tiers"))
    if not prices:
        raise Invalid([Fault(("prices",), "required", "Add at least one price before publishing.")])
    drafts = drafts_of(prices)
    _check(version, drafts)
    if errors := unbillable(version, drafts):
        raise Invalid(errors)
    before = audit.state(version)
    superseded = PlanVersion.objects.current(currency=version.currency).filter(plan=version.plan_id)
    for former in superseded.select_related("plan"):
        records.change(former, fields={"is_current": False}, actor=actor)
    version.status = VersionStatus.PUBLISHED
    version.is_current = True
    version.published_at, version.published_by = at, actor.name
    version.save()
    for price in prices:
        if price.metric and price.metric.status == MetricStatus.CANDIDATE:
            records.change(price.metric, fields={"status": MetricStatus.ACTIVE}, actor=actor)
    changes = audit.changes(before, audit.state(version))
    audit.record(actor=actor, action="published", subject=version, changes=changes)
    return version


@transaction.atomic
def retire_version(*, version_id: int, at: datetime, actor: Actor) -> PlanVersion:
    """Offer a version to nobody new; subscriptions on it keep it.

    :raises VersionNotPublished: if it is a draft or retired already.
    """
    version = _locked_version(version_id)
    if version.status != VersionStatus.PUBLISHED:
        raise VersionNotPublished(f"{version} is {version.get_status_display().lower()}.")
    before = audit.state(version)
    version.status, version.is_current, version.retired_at = VersionStatus.RETIRED, False, at
    version.save()
    changes = audit.changes(before, audit.state(version))
    audit.record(actor=actor, action="retired", subject=version, changes=changes)
    return version


def described(version: PlanVersion) -> dict[str, Any]:
    """Return a version's terms and prices as JSON, for the audit trail."""
    prices = Price.objects.filter(version=version).prefetch_related("tiers")
    return {
        **audit.state(version, without=("status", "is_current", "created_at")),
        **{
            f"price {price.key}": {
                **audit.state(price, without=("version", "key")),
                "tiers": [audit.state(tier, without=("price",)) for tier in price.tiers.all()],
            }
            for price in prices
        },
    }


def _check_metric(metric: ValueMetric, changes: Mapping[str, Any] | None = None) -> None:
    changed = copy(metric)
    for name, value in (changes or {}).items():
        setattr(changed, name, value)
    if errors := metric_errors(changed):
        raise Invalid(errors)


def _check(version: PlanVersion, prices: Sequence[PriceDraft]) -> None:
    """Refuse impossible terms; of possible ones note how long a billing period is.

    :raises Invalid: naming every faulty field.
    """
    errors = [*version_errors(prices), *interval_errors(version, prices)]
    if version.currency not in money.CURRENCIES:
        errors.insert(
            0,
            Fault(("currency",), "unknown_currency", "Choose an ISO 4217 currency."),
        )
    if errors:
        raise Invalid(errors)
    version.billing_interval, version.billing_interval_count = billing_interval(version, prices)


def _locked_version(version_id: int) -> PlanVersion:
    """Lock the plan, then the version, so that two people can't publish or edit it at once."""
    plan_id = PlanVersion.objects.values_list("plan_id", flat=True).get(pk=version_id)
    Plan.objects.select_for_update().get(pk=plan_id)
    return PlanVersion.objects.select_for_update().get(pk=version_id)


def _locked_draft(version_id: int) -> PlanVersion:
    version = _locked_version(version_id)
    if version.status != VersionStatus.DRAFT:
        raise VersionNotDraft(
            f"{version} is {version.get_status_display().lower()} and never changes: "
            "make a new version instead."
        )
    return version


def _save_prices(version: PlanVersion, prices: Sequence[PriceDraft]) -> None:
    for position, (price, tiers) in enumerate(prices):
        price.version, price.position = version, position
        price.save(force_insert=True)
        for tier in tiers:
            tier.price = price
        PriceTier.objects.bulk_create(tiers)


def _copy(row: Copied) -> Copied:
    row.pk = None
    row._state.adding = True
    return row


def _published_price_of(metric: ValueMetric) -> Price | None:
    return (
        metric.prices.exclude(version__status=VersionStatus.DRAFT)
        .select_related("version__plan")
        .first()
    )


def _and(things: Sequence[str]) -> str:
    *first, last = things
    return f"{', '.join(first)} and {last}" if first else last


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
