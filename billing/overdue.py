"""What is overdue, as reminders see it: how much is asked of each invoice, at which level, or why not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery

from billing.models import Dispute, OpenItem, Payment, ReminderRow, ReminderStop
from billing.money import add
from billing.reminding import Next, Reminded, next_level
from catalog.money import EXACT, ZERO
from config.base.fields import ExactSum
from customers.models import Customer, Issuer
from customers.periods import local_date, zone

LEVELS = 3
"""Of reminders: friendly, firm, the last."""


class Whose(NamedTuple):
    """Between whom a letter passes: a customer's, an issuer's, in one currency."""

    issuer_id: int
    customer_id: int
    currency: str


@dataclass(frozen=True, slots=True)
class Asked:
    """An overdue invoice: what is asked of it now, and where it stands."""

    item: OpenItem
    asked: Decimal
    """What is open and not disputed."""
    disputed: Decimal
    days: int
    """Past the due date, where the issuer is."""
    reminded: int
    """The highest level it was reminded at; 0: not yet."""
    coming: Next | None
    stopped: str
    """Why it is not reminded of; empty: it is."""
    is_due: bool
    """Whether its next level has come, and something is asked at all."""


@dataclass(frozen=True, slots=True)
class Letter:
    """All that is overdue of one account, and what lies on it that no invoice has taken."""

    issuer: Issuer
    customer: Customer
    currency: str
    today: date
    rows: list[Asked]
    not_set_off: Decimal
    """What is left of the customer's payments, deposits and credits in this currency.

    It comes off in full, whoever of several issuers was meant: so no letter asks for more than its
    account owes, disputed or not yet due as the rest of it may be.
    """

    firmest: int
    """The level it is written at, or above: what was reminded of more firmly is not named again."""

    @property
    def due(self) -> list[Asked]:
        """The invoices that reach a level now."""
        return [row for row in self.rows if row.is_due]

    @property
    def level(self) -> int | None:
        """How firm it is: the highest level that one reaches; None: nothing is to be sent."""
        return _reached(self.rows) if self.to_pay else None

    @property
    def asking(self) -> list[Asked]:
        """All that a letter names: overdue, not stopped, not wholly disputed, nor firmer before."""
        named = [row for row in self.rows if row.asked and not row.stopped]
        return [row for row in named if row.reminded <= self.firmest]

    def written_at(self, level: int, meant: Collection[int]) -> Letter:
        """Return it as a letter that was due at this level for these open items tells it now."""
        rows = [row for row in self.rows if row.item.pk in meant or row.reminded <= level]
        return replace(self, rows=rows, firmest=LEVELS)

    @property
    def to_pay(self) -> Decimal:
        """What it asks for in all; 0 where as much lies on the account."""
        open_now = add(row.asked for row in self.asking)
        return max(ZERO, EXACT.subtract(open_now, self.not_set_off))


def days_of(issuer: Issuer) -> tuple[int | None, int | None, int | None]:
    """Return after how many days an issuer reminds, by level."""
    return issuer.first_reminder_days, issuer.second_reminder_days, issuer.third_reminder_days


def letters(*, at: datetime, customer_ids: Collection[int] | None = None) -> list[Letter]:
    """Return what is overdue now of issuers who send reminders, by account; five queries.

    The longest overdue come first, in each letter and of all.
    """
    items = OpenItem.objects.owed().filter(
        invoice__status="issued", invoice__issuer__sends_reminders=True
    )
    if customer_ids is not None:
        items = items.filter(invoice__customer__in=customer_ids)
    # in one statement: nobody is to set a payment off between reading the one and the other
    told = items.annotate(not_set_off=Subquery(_not_set_off()))
    loaded = told.select_related("invoice__issuer").prefetch_related(
        Prefetch("invoice__customer", Customer.objects.prefetch_related("contacts")),
        Prefetch("disputes", Dispute.objects.filter(closed_on=None)),
        Prefetch("reminder_rows", ReminderRow.objects.select_related("reminder")),
    )
    stops = _stops()
    found: dict[Whose, list[Asked]] = defaultdict(list)
    on_account: dict[Whose, Decimal] = {}
    todays: dict[str, date] = {}
    for item in loaded.order_by("invoice__due_date", "pk"):
        invoice = item.invoice
        name = invoice.issuer.time_zone
        today = todays.setdefault(name, local_date(at, zone(name)))
        assert invoice.due_date is not None
        if invoice.due_date < today:
            whose = Whose(invoice.issuer_id, invoice.customer_id, invoice.currency)
            found[whose].append(_asked(item, today=today, stops=stops))
            on_account[whose] = getattr(item, "not_set_off", None) or ZERO
    return [_letter(rows, todays, on_account[whose]) for whose, rows in found.items()]


def _letter(rows: list[Asked], todays: Mapping[str, date], not_set_off: Decimal) -> Letter:
    invoice = rows[0].item.invoice
    issuer, today = invoice.issuer, todays[invoice.issuer.time_zone]
    firmest = _reached(rows) or LEVELS
    return Letter(issuer, invoice.customer, invoice.currency, today, rows, not_set_off, firmest)


def _reached(rows: Iterable[Asked]) -> int | None:
    """Return the highest level that one of these reaches now."""
    return max((row.coming.level for row in rows if row.is_due and row.coming), default=None)


def _not_set_off() -> QuerySet[Payment, Any]:
    """Return what is left of all that the customer of an open item gave in its currency."""
    left = Payment.objects.with_a_rest().filter(
        customer=OuterRef("invoice__customer"), currency=OuterRef("invoice__currency")
    )
    of_account = left.order_by().values("customer", "currency")
    summed: QuerySet[Payment, Any] = of_account.annotate(sum=ExactSum("available")).values("sum")
    return summed


def _asked(item: OpenItem, *, today: date, stops: Mapping[tuple[str, int], str]) -> Asked:
    invoice = item.invoice
    assert invoice.due_date is not None
    disputed = min(item.open, disputed_of(item.disputes.all()))
    asked = EXACT.subtract(item.open, disputed)
    stopped = stops.get(("invoice", invoice.pk)) or stops.get(("customer", invoice.customer_id), "")
    last = _last(item.reminder_rows.all())
    coming = next_level(days_of(invoice.issuer), due_date=invoice.due_date, last=last)
    return Asked(
        item,
        asked,
        disputed,
        (today - invoice.due_date).days,
        last.level if last else 0,
        coming,
        stopped,
        bool(asked and not stopped and coming and coming.on <= today),
    )


def disputed_of(disputes: Iterable[Dispute]) -> Decimal:
    """Return what is disputed of an invoice now."""
    return add([one.amount for one in disputes if one.closed_on is None]) or ZERO


def _last(rows: Iterable[ReminderRow]) -> Reminded | None:
    sent = max(rows, key=lambda row: row.level, default=None)
    return Reminded(sent.level, sent.reminder.made_on) if sent else None


def _stops() -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    for one in ReminderStop.objects.filter(ended_at=None):
        if one.invoice_id:
            found["invoice", one.invoice_id] = one.reason
        elif one.customer_id:
            found["customer", one.customer_id] = one.reason
    return found
