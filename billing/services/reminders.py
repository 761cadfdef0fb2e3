"""Reminding customers of what is overdue, each invoice once per level; and leaving some out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction

from billing.models import (
    Delivery,
    DeliveryKind,
    Invoice,
    OpenItem,
    Reminder,
    ReminderRow,
    ReminderStop,
)
from billing.overdue import Letter, letters
from billing.services.payments import check_reason
from billing.services.sending import addresses_of, leave
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Refusal
from config.base.rows import insert_rows
from customers.models import Customer


class StoppedAlready(Refusal):
    """The customer or invoice is left out of reminders already."""

    code = "already_stopped"


class NotStopped(Refusal):
    """The customer or invoice is not left out of reminders."""

    code = "not_stopped"


@transaction.atomic
def remind(
    *, at: datetime, actor: Actor, customer_ids: Collection[int] | None = None
) -> list[Reminder]:
    """Leave a mail to each customer for whom a level has come; return the reminders.

    What is open is locked first, so that two runs at once remind once. Runs again change nothing
    until the next level comes.
    """
    ahead = [one for one in letters(at=at, customer_ids=customer_ids) if sendable(one)]
    ids = [row.item.pk for one in ahead for row in one.due]
    list(OpenItem.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    whom = {one.customer.pk for one in ahead}
    found = [one for one in letters(at=at, customer_ids=whom) if sendable(one)] if whom else []
    made = insert_rows([_reminder(one, at=at, actor=actor) for one in found])
    pairs = list(zip(found, made, strict=True))
    insert_rows(
        ReminderRow(
            reminder=reminder,
            item=row.item,
            level=row.coming.level,
            asked=row.asked,
            disputed=row.disputed,
        )
        for letter, reminder in pairs
        for row in letter.due
        if row.coming
    )
    leave(
        Delivery(
            kind=DeliveryKind.REMINDER,
            customer_id=letter.customer.pk,
            reminder=reminder,
            address=address,
            asked_at=at,
            asked_by=actor.name,
        )
        for letter, reminder in pairs
        for address in addresses_of(letter.customer)
    )
    audit.record_all(actor=actor, action="sent", subjects=made)
    return made


def sendable(letter: Letter) -> bool:
    """Say whether a letter is to be sent now, and there is somebody to send it to."""
    customer = letter.customer
    return bool(letter.level and customer.invoices_by_email and addresses_of(customer))


def _reminder(letter: Letter, *, at: datetime, actor: Actor) -> Reminder:
    assert letter.level is not None
    return Reminder(
        customer=letter.customer,
        issuer=letter.issuer,
        currency=letter.currency,
        level=letter.level,
        not_set_off=letter.not_set_off,
        to_pay=letter.to_pay,
        made_on=letter.today,
        made_at=at,
        made_by=actor.name,
    )


@transaction.atomic
def stop_reminders(
    *, of: Customer | Invoice, reason: str, at: datetime, actor: Actor
) -> ReminderStop:
    """Leave a customer, or one invoice, out of reminders from now on.

    :raises Invalid: without a reason.
    :raises StoppedAlready: if it is left out.
    """
    check_reason(reason)
    type(of)._base_manager.select_for_update().get(pk=of.pk)
    if _stops_of(of):
        raise StoppedAlready(f"{of} is left out of reminders already.")
    whom = {"customer": of} if isinstance(of, Customer) else {"invoice": of}
    made = ReminderStop.objects.create(**whom, reason=reason, made_at=at, made_by=actor.name)
    audit.record(actor=actor, action="stopped reminders of", subject=of, note=reason)
    return made


@transaction.atomic
def resume_reminders(*, of: Customer | Invoice, at: datetime, actor: Actor) -> None:
    """Remind of a customer's invoices, or of one invoice, again.

    :raises NotStopped: if it is not left out.
    """
    type(of)._base_manager.select_for_update().get(pk=of.pk)
    stops = _stops_of(of)
    if not stops:
        raise NotStopped(f"{of} is not left out of reminders.")
    for stop in stops:
        stop.ended_at, stop.ended_by = at, actor.name
        stop.save(update_fields=["ended_at", "ended_by"])
    audit.record(actor=actor, action="resumed reminders of", subject=of)


def _stops_of(of: Customer | Invoice) -> Sequence[ReminderStop]:
    running = ReminderStop.objects.filter(ended_at=None)
    whose = running.filter(customer=of) if isinstance(of, Customer) else running.filter(invoice=of)
    return list(whose)
