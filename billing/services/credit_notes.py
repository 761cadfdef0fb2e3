"""Credit notes: what takes back some of an issued invoice, or all of it (R32).

Nothing of the invoice changes, nor what is billed or credited by itself later: what a person
credits is neither billed again nor credited twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.creditable import books_of
from billing.crediting import Asked
from billing.models import CreditNote, Invoice, InvoiceStatus
from billing.services import numbering
from billing.services.issuing import check_undoable, release_claims
from billing.services.noting import KIND, Drafted, draw_note, write_note
from billing.services.payments import check_reason
from billing.services.taking_back import take_back, uses_of
from catalog.money import EXACT, exponent, round_half_up
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Refusal
from customers.models import Subscription
from customers.services.locking import lock_customers_of


class CreditedMeanwhile(Refusal):
    """Somebody credited some of the invoice after it was looked at."""

    code = "credited_meanwhile"


class NotCreditedWhole(Refusal):
    """Only what is credited whole is billed anew."""

    code = "not_credited_whole"


class NotCreditable(Refusal):
    """Only an issued invoice can be credited."""

    code = "not_creditable"


@transaction.atomic
def issue_credit_note(
    *,
    invoice_id: int,
    asked: Sequence[Asked] | None = None,
    reason: str,
    refund: bool = False,
    bill_anew: bool = False,
    seen: Decimal | None = None,
    at: datetime,
    actor: Actor,
) -> CreditNote:
    """Take back parts of an issued invoice, or all that is left of it (None), by a numbered document.

    It first reduces what is open, then what was written off. What was paid beyond that is the
    customer's again: its balance, or with `refund` paid back; what deposits paid is left of them.
    With `bill_anew`, what the invoice billed is free to be billed anew by the next run; nothing may be
    left of it then. `seen` is what was credited of it when somebody looked; None: nobody did. The document is made
    after the commit.

    :raises NotCreditable: if the invoice is not issued.
    :raises CreditedMeanwhile: if more was credited since somebody looked.
    :raises Invalid: without a reason, or for what can't be read as a part of it.
    :raises MoreThanCreditable: if not so much is left of a line, its tax or the invoice.
    :raises NothingToCredit: if it comes to nothing.
    :raises NotCreditedWhole: if something is left of what is to be billed anew.
    :raises InvoiceCredited, InvoiceRecast: if other invoices build on what is to be billed anew.
    :raises ElectronicInvoiceIncomplete: if it is to carry an XML, and would be invalid as one.
    """
    invoice = _locked(invoice_id)
    check_creditable(invoice)
    check_reason(reason)
    book = books_of([invoice])[invoice.pk]
    if seen is not None and seen != book.credited:
        raise CreditedMeanwhile(
            f"Some of {invoice} was credited after you looked: look at what is left first."
        )
    credit = book.credit(asked)
    [number] = numbering.spend_numbers(
        invoice.issuer, kind=KIND, size=1, as_of=at, not_before=invoice.issue_date
    )
    uses = take_back(
        invoice,
        credit.total,
        on=number.issue_date,
        refund=refund,
        reference=number.text,
        at=at,
        actor=actor,
    )
    drafted = draw_note(invoice, book, credit, uses, refund=refund)
    note = write_note(drafted, number, reason=reason.strip(), at=at, actor=actor)
    if bill_anew:
        _let_bill_anew(invoice, note, at=at, actor=actor)
    return note


def check_bill_anew(invoice: Invoice, note: CreditNote) -> None:
    """Refuse to have billed anew what another note, saved or not, leaves something of.

    :raises NotCreditedWhole: if it does.
    :raises InvoiceCredited, InvoiceRecast: if a fee of it is credited by another invoice, or a plan
        was changed from a day that it bills.
    """
    check_undoable(invoice)
    left = EXACT.subtract(invoice.total, EXACT.add(invoice.open_item.credited, note.total))
    if left:
        left = round_half_up(left, exponent(invoice.currency))
        raise NotCreditedWhole(
            f"{left:f} {invoice.currency} of {invoice} would be left: credit all of it, so that it "
            "can be billed anew."
        )


def _let_bill_anew(invoice: Invoice, note: CreditNote, *, at: datetime, actor: Actor) -> None:
    """Give up what a credited invoice claims, so that the next run bills it anew (R33).

    `invoice` is as it was loaded before the note.
    """
    check_bill_anew(invoice, note)
    invoice.status, invoice.voided_at = InvoiceStatus.CREDITED, at
    invoice.reason = note.reason
    invoice.save(update_fields=["status", "voided_at", "reason"])
    release_claims(invoice, reopen=True, at=at, actor=actor)
    audit.record(actor=actor, action="to be billed anew", subject=invoice)


def draft_credit_note(
    invoice: Invoice,
    *,
    asked: Sequence[Asked] | None = None,
    reason: str = "",
    refund: bool = False,
    at: datetime,
) -> Drafted:
    """Return what `issue_credit_note` would make now, of an invoice loaded `with_lines`; save nothing.

    :raises NotCreditable, Invalid, MoreThanCreditable, NothingToCredit: as that does; but a reason
        may be lacking still.
    """
    check_creditable(invoice)
    book = books_of([invoice])[invoice.pk]
    credit = book.credit(asked)
    drafted = draw_note(invoice, book, credit, uses_of(credit.total, invoice), refund=refund)
    [block] = numbering.numbers_ahead({invoice.issuer: 1}, kind=KIND, as_of=at)
    assert invoice.issue_date is not None
    note = drafted.note
    note.issue_date = max(block.issue_date, invoice.issue_date)
    note.issued_at, note.reason = at, reason
    return drafted


def check_creditable(invoice: Invoice) -> None:
    """:raises NotCreditable: if it is not issued, saying what to do instead."""
    match invoice.status:
        case InvoiceStatus.ISSUED:
            return
        case InvoiceStatus.CREDITED:
            raise NotCreditable(f"{invoice} was credited whole, to be billed anew.")
        case InvoiceStatus.VOID:
            raise NotCreditable(f"{invoice} is void: nothing of it is owed.")
        case InvoiceStatus.DISCARDED:
            raise NotCreditable("This draft was discarded: nothing of it is owed.")
    raise NotCreditable("It is not issued yet: recalculate or discard the draft instead.")


def _locked(invoice_id: int) -> Invoice:
    """Lock an invoice, after who it bills, so that no close credits the same meanwhile."""
    billed = Subscription.objects.filter(invoice_lines__invoice=invoice_id)
    mine = Subscription.objects.filter(pk__in=billed.order_by().values("pk")).order_by("pk")
    lock_customers_of(mine)
    list(mine.select_for_update(of=("self",), no_key=True).values_list("pk"))
    list(Invoice.objects.select_for_update(of=("self",)).filter(pk=invoice_id).values_list("pk"))
    return Invoice.objects.with_lines().get(pk=invoice_id)
