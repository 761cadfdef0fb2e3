"""What is done with customers and their subscriptions: one use case, one transaction each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from catalog.models import Plan, PlanVersion, VersionStatus
from catalog.money import plain
from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from config.base.fields import validate_key
from customers.bank_accounts import account_faults
from customers.electronic import seller_faults
from customers.logos import LogoPicture
from customers.models import (
    Contact,
    Customer,
    Issuer,
    Logo,
    Subscription,
    SubscriptionPhase,
    SubscriptionQuantity,
)
from customers.parties import party_faults
from customers.periods import Alignment, AnchorOnCalendar, CountOutOfRange, DateOutOfRange
from customers.quantities import quantity_on
from customers.services.locking import lock_served
from customers.terms import phase_terms
from customers.vat_ids import vat_id_fault

EARLIEST_START, LATEST_START = date(1970, 1, 1), date(2200, 1, 1)


class CurrencyInUse(Refusal):
    """The customer pays for subscriptions that are priced in its currency."""

    code = "currency_in_use"


class VersionNotOffered(Refusal):
    """The plan version is a draft or retired, so nobody can subscribe to it."""

    code = "version_not_offered"


def create_customer(*, customer: Customer, actor: Actor) -> Customer:
    """Save a new customer; its legal name defaults to its name.

    :raises KeyTaken: if another customer has its key.
    :raises Invalid: for an unknown currency, time zone, locale or country, or no VAT ID.
    """
    customer.legal_name = customer.legal_name or customer.name
    _check(audit.state(customer))
    return records.create_keyed(customer, actor=actor)


@transaction.atomic
def change_customer(*, customer_id: int, fields: Mapping[str, Any], actor: Actor) -> Customer:
    """Change a customer's details; its key never changes.

    :raises Invalid: for an unknown currency, time zone, locale or country, or no VAT ID.
    :raises CurrencyInUse: if the currency would change while subscriptions are priced in it.
    """
    customer = Customer.objects.select_for_update().get(pk=customer_id)
    _check(fields, audit.state(customer))
    if fields.get("currency", customer.currency) != customer.currency:
        _check_currency(customer, fields["currency"])
    records.change(customer, fields=fields, actor=actor)
    return customer


@transaction.atomic
def add_contact(*, contact: Contact, actor: Actor) -> Contact:
    """Save a person at a customer, who may read its usage and invoices from now on.

    :raises ValidationError: for no address, or one that the customer has already.
    """
    contact.full_clean()
    contact.save(force_insert=True)
    changes = audit.changes({}, audit.state(contact))
    audit.record(actor=actor, action="created", subject=contact, changes=changes)
    return contact


@transaction.atomic
def create_issuer(*, issuer: Issuer, actor: Actor) -> Issuer:
    """Save another legal seller.

    :raises ValidationError: for a faulty field, or a name that another issuer has.
    :raises Invalid: for a VAT ID, IBAN or BIC that can't be one, or electronic invoices without what
        they name.
    """
    issuer.full_clean()
    _check_issuer(audit.state(issuer))
    _check_account(audit.state(issuer))
    _check_electronic(audit.state(issuer))
    issuer.save(force_insert=True)
    changes = audit.changes({}, audit.state(issuer))
    audit.record(actor=actor, action="created", subject=issuer, changes=changes)
    return issuer


@transaction.atomic
def change_issuer(*, issuer_id: int, fields: Mapping[str, Any], actor: Actor) -> Issuer:
    """Change who sells; invoices issued before keep what they say.

    :raises Invalid: for a VAT ID, IBAN or BIC that can't be one, electronic invoices without what they
        name, or if it sends mails from no address.
    """
    issuer = Issuer.objects.select_for_update().get(pk=issuer_id)
    after = {**audit.state(issuer), **fields}
    if not fields.keys().isdisjoint(
        ("vat_id", "country", "email", "sends_invoices", "sends_reminders")
    ):
        _check_issuer(after)
    _check_account(fields)
    _check_electronic(after)
    records.change(issuer, fields=fields, actor=actor)
    return issuer


def keep_logo(picture: LogoPicture) -> Logo:
    """Keep a logo under its hash; the same picture is one row."""
    logo, _ = Logo.objects.get_or_create(
        sha256=picture.sha256,
        defaults={"png": picture.png, "width": picture.width, "height": picture.height},
    )
    return logo


def offered_version(*, plan: Plan, number: int | None, currency: str) -> PlanVersion:
    """Return the version of this number, or the one that new subscriptions in `currency` get.

    :raises Invalid: if the plan has no version of this number.
    :raises VersionNotOffered: if no version in this currency is offered.
    """
    if number is not None:
        version = plan.versions.filter(number=number).first()
        if version is None:
            message = f"{plan} has no version {number}."
            raise Invalid([Fault(("version",), "unknown_version", message)])
        return version
    version = PlanVersion.objects.current(currency=currency).filter(plan=plan).first()
    if version is None:
        message = f"{plan} has no published version in {currency}: publish one first."
        raise VersionNotOffered(message, path=("plan",))
    return version


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
    without a metric, by the price's key; what is not named is 1 (R13). One whose price the version
    lacks counts once a version has it.

    :raises VersionNotOffered: if the version is a draft or retired.
    :raises KeyTaken: if another subscription has this key.
    :raises Invalid: naming every faulty field.
    """
    # Locked, so that its currency can't change, nor the version be retired, while this is written.
    buyer = Customer.objects.select_for_update().get(pk=(payer or customer).pk)
    version.refresh_from_db(fields=["status"])
    if version.status != VersionStatus.PUBLISHED:
        raise VersionNotOffered(
            f"{version} is {version.get_status_display().lower()}: choose a published version.",
            path=("version",),
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


@transaction.atomic
def change_quantity(
    *,
    subscription_id: int,
    price_key: str,
    quantity: Decimal,
    starts_on: date,
    today: date,
    actor: Actor,
) -> SubscriptionQuantity:
    """Say how many of a price without a metric there are from a day on, such as seats (R13).

    More of them are charged from that day, fewer from the next period. `today` is the day where
    the subscription is: what counted before it stays. Said again for the same day, the last holds.

    :raises SubscriptionEnded: if it has ended already.
    :raises Invalid: for a day that is over or has no service, or a quantity that can't be.
    """
    subscription, phases = lock_served(subscription_id, today)
    errors = list(_quantity_errors(phases[-1].plan_version, {price_key: quantity}))
    ends_on = subscription.ends_on
    if starts_on < max(today, subscription.starts_on) or (ends_on and starts_on >= ends_on):
        message = "Choose a day of service, from today on."
        errors.append(Fault(("starts_on",), "out_of_range", message))
    if errors:
        raise Invalid(errors)
    stated = list(subscription.quantities.filter(price_key=price_key).order_by("starts_on"))
    before = quantity_on(starts_on, [(row.starts_on, row.quantity) for row in stated])
    row, _ = SubscriptionQuantity.objects.update_or_create(
        subscription=subscription,
        price_key=price_key,
        starts_on=starts_on,
        defaults={"quantity": quantity},
    )
    audit.record(
        actor=actor,
        action="changed quantity",
        subject=subscription,
        changes={f"quantity {price_key} from {starts_on}": [plain(before), plain(quantity)]},
    )
    return row


def _check(fields: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
    if errors := list(party_faults(fields, before)):
        raise Invalid(errors)


def _check_issuer(issuer: Mapping[str, Any]) -> None:
    if fault := vat_id_fault(issuer["vat_id"], country=issuer["country"]):
        raise Invalid([Fault(("vat_id",), *fault)])
    if (issuer["sends_invoices"] or issuer["sends_reminders"]) and not issuer["email"]:
        message = "Mails are sent from this address: enter it, or send none."
        raise Invalid([Fault(("email",), "required_to_send", message)])


def _check_account(fields: Mapping[str, Any]) -> None:
    if faults := list(account_faults(fields)):
        raise Invalid(faults)


def _check_electronic(issuer: Mapping[str, Any]) -> None:
    if issuer["electronic_invoices"] and (lacking := list(seller_faults(issuer))):
        raise Invalid(lacking)


def _check_currency(customer: Customer, currency: str) -> None:
    """Refuse a currency in which the customer's subscriptions are not priced."""
    others = (
        SubscriptionPhase.objects.filter(
            Q(subscription__payer=customer)
            | Q(subscription__payer=None, subscription__customer=customer)
        )
        .exclude(plan_version__currency=currency)
        .select_related("subscription", "plan_version")
    )
    if phase := others.first():
        raise CurrencyInUse(
            f"{customer} pays for the subscription {phase.subscription}, which is priced in "
            f"{phase.plan_version.currency}, so the currency can't change.",
            path=("currency",),
        )


def _phase_errors(phase: SubscriptionPhase) -> list[Fault]:
    errors = list(party_faults({"time_zone": phase.time_zone}))
    if not EARLIEST_START <= phase.starts_on <= LATEST_START:
        span = f"from {EARLIEST_START} to {LATEST_START}"
        return [*errors, Fault(("starts_on",), "out_of_range", f"Choose a date {span}.")]
    try:
        phase_terms(phase)
    except AnchorOnCalendar as wrong:
        errors.append(Fault(("anchor_on",), "anchor_on_calendar", str(wrong)))
    except (CountOutOfRange, DateOutOfRange) as wrong:
        errors.append(Fault(("starts_on",), "out_of_range", str(wrong)))
    return errors


def _quantity_errors(version: PlanVersion, quantities: Mapping[str, Decimal]) -> Iterator[Fault]:
    """Find faults; a key that no price of this version has is none, as a later version may."""
    metered = set(version.prices.exclude(metric=None).values_list("key", flat=True))
    for name, quantity in quantities.items():
        path = ("quantities", name)
        if name in metered:
            yield Fault(path, "metered", f"“{name}” is measured, so its quantity can't be set.")
        if quantity < 0:
            yield Fault(path, "negative", "A quantity can't be negative.")
        try:
            validate_key(name)
        except ValidationError as wrong:
            yield Fault(path, "invalid_key", wrong.messages[0])
