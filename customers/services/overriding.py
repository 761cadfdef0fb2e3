"""A customer's own terms for a price: agreed from a day on, ended on one (R22)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from catalog.drafts import PriceDraft, drafts_of
from catalog.overrides import override_errors
from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from customers.models import PriceOverride, Subscription

_TOO_EARLY = "A subscription has own terms from its first day of service on, at the earliest."


class OverrideEnded(Refusal):
    """The terms ended on an earlier day already."""

    code = "override_ended"


@transaction.atomic
def agree_price(
    *,
    subscription_id: int,
    price_key: str,
    terms: Mapping[str, Any],
    starts_on: date,
    reason: str,
    at: datetime,
    actor: Actor,
    ends_on: date | None = None,
) -> PriceOverride:
    """Give a subscription its own terms for a price of its plan (R22).

    They hold for every period that begins from `starts_on` on and before `ends_on`, as far as it
    is not billed yet; `terms` is what differs, as `catalog.overrides` reads it.

    :raises Invalid: for a price its plan does not have, terms that don't fit it, no reason, a
        day out of order, or days on which it has own terms for this price already.
    """
    subscription = Subscription.objects.select_for_update().get(pk=subscription_id)
    draft = price_on(subscription, price_key, day=starts_on)
    errors = list(_date_errors(subscription, price_key, starts_on, ends_on))
    if draft is None:
        errors.append(Fault(("price",), "unknown_price", f"Its plan has no price “{price_key}”."))
    else:
        errors += override_errors(draft, terms)
    if not reason.strip():
        errors.append(Fault(("reason",), "required", "Say why."))
    if errors:
        raise Invalid(errors)
    override = PriceOverride.objects.create(
        subscription=subscription,
        price_key=price_key,
        starts_on=starts_on,
        ends_on=ends_on,
        terms=dict(terms),
        reason=reason.strip(),
        agreed_by=actor.name,
        agreed_at=at,
    )
    changes = {f"price {price_key} from {starts_on}": [None, dict(terms)]}
    audit.record(
        actor=actor, action="agreed price", subject=subscription, changes=changes, note=reason
    )
    return override


@transaction.atomic
def end_override(*, override_id: int, ends_on: date, actor: Actor) -> PriceOverride:
    """Let own terms hold only for periods that begin before a day; the plan's hold after that.

    :raises OverrideEnded: if they end earlier already.
    :raises Invalid: for a day on which they have not begun.
    """
    override = (
        PriceOverride.objects.select_related("subscription")
        .select_for_update(of=("self",))
        .get(pk=override_id)
    )
    if override.ends_on is not None and override.ends_on < ends_on:
        raise OverrideEnded(f"They ended on {override.ends_on} already.")
    if ends_on <= override.starts_on:
        message = f"They begin on {override.starts_on}: choose a later day."
        raise Invalid([Fault(("ends_on",), "out_of_range", message)])
    records.change(override, fields={"ends_on": ends_on}, actor=actor)
    return override


def price_on(subscription: Subscription, price_key: str, *, day: date) -> PriceDraft | None:
    """Return the price of this key in the version that holds on a day; before it, in the first."""
    phases = list(subscription.phases.select_related("plan_version").order_by("starts_on"))
    begun = [phase for phase in phases if phase.starts_on <= day] or phases[:1]
    prices = begun[-1].plan_version.prices.filter(key=price_key)
    found = drafts_of(list(prices.select_related("metric").prefetch_related("tiers")))
    return found[0] if found else None


def _date_errors(
    subscription: Subscription, price_key: str, starts_on: date, ends_on: date | None
) -> Iterator[Fault]:
    if starts_on < subscription.starts_on:
        yield Fault(("starts_on",), "out_of_range", _TOO_EARLY)
    if ends_on is not None and ends_on <= starts_on:
        yield Fault(("ends_on",), "out_of_range", "They end after they begin.")
    others = subscription.overrides.filter(price_key=price_key).filter(
        Q(ends_on=None) | Q(ends_on__gt=starts_on)
    )
    if ends_on is not None:
        others = others.filter(starts_on__lt=ends_on)
    if other := others.first():
        until = f" until {other.ends_on}" if other.ends_on else ""
        message = (
            f"It has own terms for “{price_key}” from {other.starts_on}{until}: end them first."
        )
        yield Fault(("starts_on",), "overlaps", message)
