"""What an invoice took when it was issued, what that leaves to pay, and the account it was issued to.

Read from what was frozen then, so that a document says the same whenever it is rendered (R28, R35).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from billing.accounts import position_at_issue
from billing.models import Allocation, Invoice, PaymentKind
from billing.models.invoices import NUMBERED
from billing.presentation.reader import Reader
from billing.presentation.views import Fact, GrantView, TotalView
from catalog.money import EXACT, ZERO


def taken_at_issue(invoice: Invoice) -> list[Allocation]:
    """Return what an invoice loaded `with_lines` took by itself, in that order.

    Nothing of a draft, nor of a sample that is not saved.
    """
    if invoice.pk is None or invoice.status not in NUMBERED:
        return []
    return [one for one in invoice.open_item.allocations.all() if one.at_issue]


def due_at_issue(invoice: Invoice) -> Decimal:
    """Return what was left to pay of it then; of a draft, all of it."""
    due: Decimal = invoice.total
    for one in taken_at_issue(invoice):
        due = EXACT.subtract(due, one.amount)
    return due


def taken_rows(invoice: Invoice, reader: Reader) -> Iterator[TotalView]:
    """Say what comes off after the total, and what is due; nothing where nothing does."""
    taken = taken_at_issue(invoice)
    for one in taken:
        before = one.available_before
        assert before is not None
        label = reader.say(
            "deposit_applied" if one.payment.kind == PaymentKind.DEPOSIT else "balance_applied",
            before=reader.rounded(before),
            after=reader.rounded(EXACT.subtract(before, one.amount)),
        )
        yield TotalView(label, reader.rounded(-one.amount))
    if taken:
        due = reader.money(due_at_issue(invoice))
        yield TotalView(reader.say("amount_due"), due, is_final=True)


def grant_rows(invoice: Invoice, reader: Reader) -> Iterator[GrantView]:
    """Say of each deposit and balance that it took from what there was, what it took, what is left.

    What nothing had taken from yet is added with this invoice; what else was left is the opening.
    """
    for one in taken_at_issue(invoice):
        before, payment = one.available_before, one.payment
        assert before is not None
        kind = "grant_deposit" if payment.kind == PaymentKind.DEPOSIT else "grant_balance"
        added = before if before == payment.amount else ZERO
        yield GrantView(
            label=reader.say(kind, date=reader.day(payment.received_on)),
            opening=reader.rounded(EXACT.subtract(before, added)),
            added=reader.rounded(added),
            used=reader.rounded(-one.amount),
            remaining=reader.rounded(EXACT.subtract(before, one.amount)),
        )


def account_rows(invoice: Invoice, reader: Reader) -> Iterator[Fact]:
    """Say what was owed all in all as it was issued; nothing where that is this invoice alone."""
    if invoice.pk is None or invoice.status not in NUMBERED:
        return
    told = position_at_issue(invoice)
    if not (told.before or told.received):
        return
    yield Fact(reader.say("account_before"), reader.rounded(told.before))
    if told.received:
        yield Fact(reader.say("account_received"), reader.rounded(-told.received))
    yield Fact(reader.say("account_invoiced"), reader.rounded(told.invoiced))
    if told.from_deposits:
        yield Fact(reader.say("account_deposits"), reader.rounded(-told.from_deposits))
    yield Fact(reader.say("account_outstanding"), reader.money(told.outstanding))
