"""What is done with customers and their subscriptions: one use case, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import transaction

from catalog import money
from catalog.models import PlanVersion, VersionStatus
from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from customers.models import (
    Customer,
    Issuer,
    Subscription,
    SubscriptionPhase,
    SubscriptionQuantity,
)
from customers.periods import (
    Alignment,
    AnchorOnCalendar,
    CountOutOfRange,
    DateOutOfRange,
    UnknownTimeZone,
    zone,
)
from customers.terms import phase_terms


class VersionNotOffered(Refusal):
    """The plan version is a draft or retired, so nobody can subscribe to it."""

    code = "version_not_offered"


def create_customer(*, customer: Customer, actor: Actor) -> Customer:
    """Save a new customer; its legal name defaults to its name.

    :raises KeyTaken: if another customer has its key.
    :raises Invalid: for an unknown currency or time zone.
    """
    customer.legal_name = customer.legal_name or customer.name
    _check({"currency": customer.currency, "time_zone": customer.time_zone})
    return records.create_keyed(customer, actor=actor)


@transaction.atomic
def change_customer(*, customer_id: int, fields: Mapping[str, Any], actor: Actor) -> Customer:
    """Change a customer's details; its key never changes.

    :raises Invalid: for an unknown currency or time zone.
    """
    customer = Customer.objects.select_for_update().get(pk=customer_id)
    _check(fields)
    records.change(customer, fields=fields, actor=actor)
    return customer


@transaction.atomic
def change_issuer(*, issuer_id: int, fields: Mapping[str, Any], actor: Actor) -> Issuer:
    """Change who sells; invoices issued before keep what they say."""
    issuer = Issuer.objects.select_for_update().get(pk=issuer_id)
    records.change(issuer, fields=fields, actor=actor)
    return issuer


@transaction.atomic
def subscribe(
    *,
    key: str,
    customer: Customer,
    version: PlanVersion,
    starts_on: date,
    actor: Actor,
    alignment: Alignment = Alignment.ANNIVERSARY,
    anchor_on: date | None = None,
    time_zone: str | None = None,
    quantities: Mapping[str, Decimal] | None = None,
    issuer: Issuer | None = None,
    payer: Customer | None = None,
) -> Subscription:
    """Start a subscription to a published version, from a day in the past or the future.

    Days begin in `time_zone`, by default the customer's (R2). `quantities` are those of prices
    without a metric, by the price's key; what is not named is 1 (R13).

    :raises VersionNotOffered: if the version is a draft or retired.
    :raises KeyTaken: if another subscription has this key.
    :raises Invalid: naming every faulty field.
    """
    if version.status != VersionStatus.PUBLISHED:
        raise VersionNotOffered(
            f"{version} is {version.get_status_display().lower()}: choose a published version."
        )
    subscription = Subscription(
        key=key, customer=customer, issuer=issuer, payer=payer, starts_on=starts_on
    )
    phase = SubscriptionPhase(
        subscription=subscription,
        plan_version=version,
        starts_on=starts_on,
        alignment=alignment,
        anchor_on=anchor_on,
        time_zone=time_zone or customer.time_zone,
    )
    quantities = quantities or {}
    errors = [*_phase_errors(phase), *_quantity_errors(version, quantities)]
    buyer = payer or customer
    if buyer.currency != version.currency:
        errors.append(
            Fault(
                ("plan",),
                "currency_mismatch",
                f"{version} is priced in {version.currency}, but {buyer} pays in {buyer.currency}.",
            )
        )
    if errors:
        raise Invalid(errors)
    records.create_keyed(subscription, actor=actor)
    phase.save(force_insert=True)
    SubscriptionQuantity.objects.bulk_create(
        SubscriptionQuantity(
            subscription=subscription, price_key=name, starts_on=starts_on, quantity=quantity
        )
        for name, quantity in quantities.items()
    )
    audit.record(
        actor=actor,
        action="subscribed",
        subject=subscription,
        changes={
            **audit.changes({}, audit.state(phase, without=("subscription",))),
            **{f"quantity {name}": [None, f"{n:f}"] for name, n in quantities.items()},
        },
    )
    return subscription


def _check(fields: Mapping[str, Any]) -> None:
    errors = []
    if "currency" in fields and fields["currency"] not in money.CURRENCIES:
        message = "Choose an ISO 4217 currency, such as EUR."
        errors.append(Fault(("currency",), "unknown_currency", message))
    if "time_zone" in fields:
        errors += _zone_errors(fields["time_zone"])
    if errors:
        raise Invalid(errors)


def _zone_errors(name: str) -> list[Fault]:
    try:
        zone(name)
    except UnknownTimeZone as unknown:
        return [Fault(("time_zone",), "unknown_time_zone", str(unknown))]
    return []


def _phase_errors(phase: SubscriptionPhase) -> list[Fault]:
    errors = _zone_errors(phase.time_zone)
    try:
        phase_terms(phase)
    except AnchorOnCalendar as wrong:
        errors.append(Fault(("anchor_on",), "anchor_on_calendar", str(wrong)))
    except (CountOutOfRange, DateOutOfRange) as wrong:
        errors.append(Fault(("starts_on",), "out_of_range", str(wrong)))
    return errors


def _quantity_errors(version: PlanVersion, quantities: Mapping[str, Decimal]) -> list[Fault]:
    countable = set(version.prices.filter(metric=None).values_list("key", flat=True))
    errors = [
        Fault(
            ("quantities", name),
            "unknown_price",
            f"{version} has no price “{name}” without a metric.",
        )
        for name in quantities
        if name not in countable
    ]
    errors += [
        Fault(("quantities", name), "negative", "A quantity can't be negative.")
        for name, quantity in quantities.items()
        if quantity < 0
    ]
    return errors
