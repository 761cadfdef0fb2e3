"""Asking for invoices and credit notes to be sent by e-mail: as they are issued, and again whenever wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from billing.models import (
    CreditNote,
    Delivery,
    DeliveryKind,
    DeliveryStatus,
    Invoice,
    InvoiceStatus,
    Unsent,
)
from billing.querysets import DeliveryQuerySet
from config.base import audit
from config.base.audit import SYSTEM, Actor
from config.base.errors import Fault, Invalid, Refusal
from config.base.rows import insert_rows
from config.base.services import outbox
from customers.models import Customer, Issuer

MAIL = "billing.mail"
MOST_ADDRESSES = 10

Document = Invoice | CreditNote
"""What a mail brings."""


class InvoiceNotSendable(Refusal):
    """Only what is issued and not void is sent."""

    code = "invoice_not_issued"


class NobodyToSendTo(Refusal):
    """The customer has no address for invoices."""

    code = "no_address"


class NobodyToSendFrom(Refusal):
    """The issuer has no address."""

    code = "no_sender"


class WaitsAlready(Refusal):
    """The document is about to be sent to this address."""

    code = "already_waiting"


class NothingToAnswer(Refusal):
    """The mail went, waits, or was answered before."""

    code = "nothing_to_answer"


def addresses_of(customer: Customer) -> list[str]:
    """Return where a customer, loaded with its `contacts`, gets invoices: each address once."""
    receiving = (one.email for one in customer.contacts.all() if one.receives_invoices)
    found = {address.lower(): address for address in (*receiving, customer.email) if address}
    return sorted(found.values(), key=lambda address: (address != customer.email, address))


def send_at_issue(
    invoices: Iterable[Invoice], issuers: Mapping[int, Issuer], *, at: datetime
) -> None:
    """Leave a mail to each address of invoices that are issued now, where their issuers send them.

    One that goes to nobody says why. Call it in the transaction that issues them; four statements,
    however many.
    """
    sent = [invoice for invoice in invoices if issuers[invoice.issuer_id].sends_invoices]
    if not sent:
        return
    buyers = Customer.objects.prefetch_related("contacts").in_bulk(
        [invoice.customer_id for invoice in sent]
    )
    leave(
        delivery
        for invoice in sent
        for delivery in _at_issue(invoice, buyers[invoice.customer_id], at=at)
    )


def send_note_at_issue(note: CreditNote, *, at: datetime) -> None:
    """Leave a mail to each address of a credit note that is issued now, where its issuer sends them.

    One that goes to nobody says why. Call it in the transaction that issues it.
    """
    if note.issuer.sends_invoices:
        leave(_at_issue(note, note.invoice.customer, at=at))


class Foreseen(NamedTuple):
    """How many mails invoices go with if they are issued now, and how many lack an address."""

    mails: int
    to_nobody: int


def foreseen(invoices: Iterable[Invoice]) -> Foreseen:
    """Return what issuing these would send; three queries, however many."""
    by_pk = {invoice.pk for invoice in invoices}
    found = Invoice.objects.filter(pk__in=by_pk, issuer__sends_invoices=True)
    rows = found.select_related("customer").prefetch_related("customer__contacts")
    reached = [len(addresses_of(one.customer)) for one in rows if one.customer.invoices_by_email]
    return Foreseen(sum(reached), reached.count(0))


def note_goes_to(note: CreditNote) -> list[str] | None:
    """Return where a credit note, saved or not, goes as it is issued; None if nobody is to get it."""
    buyer = note.invoice.customer
    if not (note.issuer.sends_invoices and buyer.invoices_by_email):
        return None
    return addresses_of(buyer)


def _at_issue(document: Document, buyer: Customer, *, at: datetime) -> list[Delivery]:
    addresses = addresses_of(buyer) if buyer.invoices_by_email else []
    if not addresses:
        nobody = _delivery(document, buyer, "", at=at, actor=SYSTEM, at_issue=True)
        nobody.status, nobody.settled_at = DeliveryStatus.UNSENT, at
        nobody.why = Unsent.NO_ADDRESS if buyer.invoices_by_email else Unsent.NOT_WANTED
        return [nobody]
    return [
        _delivery(document, buyer, one, at=at, actor=SYSTEM, at_issue=True) for one in addresses
    ]


@transaction.atomic
def send_invoices(
    *, invoice_ids: Sequence[int], to: Sequence[str] = (), at: datetime, actor: Actor
) -> list[Delivery]:
    """Send issued invoices, once more or for the first time: to these addresses, or their customers'.

    What had failed of them is answered by it. Returns the mails, which are made and sent after the
    commit.

    :raises Invalid: for something that is no address, or too many of them.
    :raises InvoiceNotSendable: if one is not issued, or void.
    :raises NobodyToSendFrom: if an issuer has no address.
    :raises NobodyToSendTo: if no address is given and a customer has none.
    :raises WaitsAlready: if one waits to be sent to one of the addresses.
    """
    check_addresses(to)
    found = Invoice.objects.select_for_update(of=("self",)).select_related("issuer", "customer")
    invoices = list(
        found.prefetch_related("customer__contacts").filter(pk__in=invoice_ids).order_by("pk")
    )
    mails = Delivery.objects.filter(invoice__in=invoices)
    return _send(invoices, mails, to=to, at=at, actor=actor)


@transaction.atomic
def send_credit_notes(
    *, note_ids: Sequence[int], to: Sequence[str] = (), at: datetime, actor: Actor
) -> list[Delivery]:
    """Send credit notes, once more or for the first time: to these addresses, or their customers'.

    What had failed of them is answered by it. Returns the mails, which are made and sent after the
    commit.

    :raises Invalid: for something that is no address, or too many of them.
    :raises NobodyToSendFrom: if an issuer has no address.
    :raises NobodyToSendTo: if no address is given and a customer has none.
    :raises WaitsAlready: if one waits to be sent to one of the addresses.
    """
    check_addresses(to)
    found = CreditNote.objects.select_for_update(of=("self",)).to_send()
    notes = list(found.filter(pk__in=note_ids).order_by("pk"))
    mails = Delivery.objects.filter(note__in=notes)
    return _send(notes, mails, to=to, at=at, actor=actor)


def _send(
    documents: Sequence[Document],
    mails: DeliveryQuerySet,
    *,
    to: Sequence[str],
    at: datetime,
    actor: Actor,
) -> list[Delivery]:
    """Leave a mail to each address of each document: all of one kind, locked; `mails` are theirs so far."""
    waiting = mails.filter(status=DeliveryStatus.WAITING)
    known = {(one.invoice_id or one.note_id, one.address.lower()) for one in waiting}
    made, notes = [], []
    for document in documents:
        addresses = recipients(document, to=to)
        for address in addresses:
            if (document.pk, address.lower()) in known:
                raise WaitsAlready(f"{document} waits to be sent to {address} already.")
            to_whom = _billed(document)
            made.append(_delivery(document, to_whom, address, at=at, actor=actor, at_issue=False))
        notes.append((document, f"To {', '.join(addresses)}."))
    mails.to_look_at().update(answer=f"Sent again, as {actor.name} asked.")
    for document, note in notes:
        audit.record(actor=actor, action="asked to send", subject=document, note=note)
    return leave(made)


def recipients(document: Document, *, to: Sequence[str] = ()) -> list[str]:
    """Return where a document, loaded with issuer and customer, would be sent: `to`, or the customer's.

    :raises InvoiceNotSendable: if it is an invoice that is not issued, or void.
    :raises NobodyToSendFrom: if its issuer has no address.
    :raises NobodyToSendTo: if there is no address.
    """
    if isinstance(document, Invoice) and document.status != InvoiceStatus.ISSUED:
        raise InvoiceNotSendable(f"{document} is not issued: only issued invoices are sent.")
    if not document.issuer.email:
        raise NobodyToSendFrom(
            f"{document.issuer} has no e-mail address to send {document} from: enter it first."
        )
    customer = _billed(document)
    addresses = list({one.lower(): one for one in to}.values()) or addresses_of(customer)
    if not addresses:
        raise NobodyToSendTo(
            f"{customer} has no address for {document}: enter an e-mail address or a contact "
            "who receives invoices."
        )
    return addresses


def _billed(document: Document) -> Customer:
    return document.customer if isinstance(document, Invoice) else document.invoice.customer


def check_addresses(addresses: Sequence[str]) -> None:
    """:raises Invalid: for something that is no address, or too many of them."""
    faults = []
    for place, address in enumerate(addresses):
        try:
            validate_email(address)
        except ValidationError:
            message = f"“{address[:100]}” is no e-mail address. Write it as in name@company.com."
            faults.append(Fault(("to", place), "invalid", message))
    if len(addresses) > MOST_ADDRESSES:
        message = f"Name at most {MOST_ADDRESSES} addresses at a time."
        faults.append(Fault(("to",), "max_length", message))
    if faults:
        raise Invalid(faults)


def call_off(invoice: Invoice, *, why: Unsent, at: datetime) -> None:
    """Send nothing that waits of an invoice that is void, or credited whole; call it in that transaction."""
    waiting = Delivery.objects.filter(invoice=invoice, status=DeliveryStatus.WAITING)
    waiting.filter(begun_at=None).update(status=DeliveryStatus.UNSENT, why=why, settled_at=at)


@transaction.atomic
def answer_failures(*, delivery_ids: Sequence[int], answer: str, actor: Actor) -> int:
    """Note what was done about mails that did not go, so that they no longer wait; return how many.

    :raises Invalid: without an answer.
    :raises NothingToAnswer: if one went, waits, or was answered before.
    """
    if not answer.strip():
        raise Invalid([Fault(("reason",), "required", "Say what was done about it.")])
    rows = Delivery.objects.select_for_update().filter(pk__in=delivery_ids).order_by("pk")
    open_ids = set(rows.to_look_at().values_list("pk", flat=True))
    for row in rows:
        if row.pk not in open_ids:
            raise NothingToAnswer(f"{row}: nothing waits for an answer.")
        row.answer = answer
        row.save(update_fields=["answer"])
        audit.record(actor=actor, action="answered", subject=row, note=answer)
    return len(open_ids)


def _delivery(
    document: Document, buyer: Customer, address: str, *, at: datetime, actor: Actor, at_issue: bool
) -> Delivery:
    brings: dict[str, Any] = (
        {"kind": DeliveryKind.INVOICE, "invoice": document}
        if isinstance(document, Invoice)
        else {"kind": DeliveryKind.CREDIT_NOTE, "note": document}
    )
    return Delivery(
        **brings,
        customer=buyer,
        address=address,
        at_issue=at_issue,
        asked_at=at,
        asked_by=actor.name,
    )


def leave(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """Save mails, and put in the outbox those that wait; call it in the transaction of their cause."""
    made = insert_rows(deliveries)
    waiting = [one for one in made if one.status == DeliveryStatus.WAITING]
    payloads = {str(one.uuid): {"delivery": one.pk} for one in waiting}
    if waiting:
        outbox.put_all(kind=MAIL, payloads=payloads, due_at=waiting[0].asked_at)
    return made
