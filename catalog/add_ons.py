"""Add-ons: made once, sold to subscriptions, archived; what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from django.db import transaction

from catalog import money, pricing
from catalog.amounts import amount_errors, amount_in_words
from catalog.models import AddOn, AddOnStatus
from catalog.pricing import PerUnit, Rated, rate
from config.base import records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal


class AddOnArchived(Refusal):
    """The add-on is no longer sold to anybody."""

    code = "add_on_archived"


def create_add_on(*, add_on: AddOn, actor: Actor) -> AddOn:
    """Save a new add-on, whose terms never change.

    :raises KeyTaken: if another add-on has its key.
    :raises Invalid: naming every field at fault.
    """
    if faults := list(add_on_errors(add_on)):
        raise Invalid(faults)
    return records.create_keyed(add_on, actor=actor)


@transaction.atomic
def archive_add_on(*, add_on_id: int, actor: Actor) -> AddOn:
    """Sell an add-on to nobody any more; who bought it is billed for it still.

    :raises AddOnArchived: if it is archived already.
    """
    add_on = AddOn.objects.select_for_update().get(pk=add_on_id)
    if add_on.status == AddOnStatus.ARCHIVED:
        raise AddOnArchived(f"“{add_on}” is archived already.")
    records.change(add_on, fields={"status": AddOnStatus.ARCHIVED}, actor=actor)
    return add_on


def add_on_errors(add_on: AddOn) -> Iterator[Fault]:
    """Find what of an add-on is at fault or contradicts the rest."""
    if add_on.unit_amount <= 0:
        yield Fault(("unit_amount",), "out_of_range", "One of it costs more than 0.")
    yield from amount_errors("unit_amount", add_on.unit_amount, add_on.currency)
    if add_on.unit and not add_on.unit_plural:
        yield Fault(("unit_plural",), "required", "Name several of it too, such as “days”.")
    elif add_on.unit_plural and not add_on.unit:
        yield Fault(("unit",), "required", "Name one of it too, such as “day”.")


def rate_add_on(quantity: Decimal, unit_amount: Decimal, currency: str) -> Rated:
    """Price so many of an add-on: quantity × amount, rounded once (R17, R18)."""
    price = pricing.Price(PerUnit(unit_amount), metered=False)
    return rate(price, quantity, exponent=money.exponent(currency))


def add_on_in_words(add_on: AddOn) -> str:
    """Say what it costs: “1,200.00 EUR per day”, or “490.00 EUR”."""
    amount = amount_in_words(add_on.unit_amount, add_on.currency)
    return f"{amount} per {add_on.unit}" if add_on.unit else amount
