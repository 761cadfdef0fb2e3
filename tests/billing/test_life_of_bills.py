"""Whatever happens in whatever order: the bills come to what a small ledger says, and the audit agrees.

A state machine sends events on time, late and twice, voids and replaces them, changes plans, closes,
issues, voids, credits and redraws invoices, takes payments, crashes in the middle and lets time pass.
Beside it a ledger keeps the events, the plans, the credit notes and the money, and rates them in whole
numbers by R5, R15, R17 and R20. After each step the audit finds nothing; in the end every cent of the
ledger is billed, and none besides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.accounts import positions
from billing.creditable import books_of
from billing.crediting import Asked
from billing.models import (
    CreditNoteLine,
    Invoice,
    InvoiceLine,
    LineKind,
    OpenItem,
    PaymentKind,
)
from billing.services import life
from billing.services.credit_notes import issue_credit_note
from billing.services.issuing import (
    discard_invoice,
    issue_invoices,
    recalculate_invoices,
    void_invoice,
)
from billing.services.lateness import settle_late_usage
from billing.services.life import When
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.errors import Invalid, Refusal
from customers.models import Subscription
from metering.events import event_key, make_event
from metering.services import replace_event, void_events
from metering.services.ingestion import ingest
from tests import factories as make
from tests.billing.months import close, contradictions

pytestmark = pytest.mark.django_db
D = Decimal
BEGIN = date(2026, 1, 1)
CENT = D("0.01")
WAITING = ("periods_close_in_time", "settled_periods_are_billed_as_measured")
"""What the audit says of time that passes while nobody closes or settles."""
EXAMPLES = int(os.environ.get("DEEP_EXAMPLES", "8"))


@dataclass(frozen=True)
class Terms:
    """A plan in the ledger: fee a month in advance, calls included, price of each above."""

    fee: int
    included: int
    each: Decimal


SMALL, LARGE = Terms(30, 100, D("0.1")), Terms(60, 300, D("0.05"))


Charge = tuple[str, date]
"""The fee or the calls of the month that begins on this day."""


class Notes(NamedTuple):
    """What credit notes took off a charge, and what they took back of its credits, which is below 0."""

    off: Decimal = D(0)
    back: Decimal = D(0)

    def __add__(self, amount: Any) -> Notes:
        return Notes(self.off + max(amount, D(0)), self.back + min(amount, D(0)))


@dataclass
class Account:
    """What the ledger knows of a subscription: its plans, its calls, and what was given back or paid.

    `noted` is what notes took, by invoice. `lowered` are charges that came to less after their month:
    what notes took off one before stands for as much of that, so its ledger is a span. `floor` is the
    least of a charge that notes took something off: what was left of it then, or what it came to
    since, whichever is less.
    """

    plans: list[tuple[date, Terms]]
    calls: dict[str, tuple[date, int]] = field(default_factory=dict)
    noted: dict[int, list[tuple[Charge, Decimal]]] = field(default_factory=dict)
    lowered: set[Charge] = field(default_factory=set)
    floor: dict[Charge, Decimal] = field(default_factory=dict)
    paid: Decimal = D(0)

    def agrees(self, billed: Mapping[Charge, Decimal], today: date) -> bool:
        """Say whether what was billed, less what was credited, is what each charge comes to."""
        owed, noted = self.owed(today), self.notes()
        return owed.keys() >= billed.keys() and all(
            self._agrees(charge, amount, billed.get(charge, D(0)), noted.get(charge, Notes()))
            for charge, amount in owed.items()
        )

    def _agrees(self, charge: Charge, owed: Decimal, billed: Decimal, noted: Notes) -> bool:
        """What a note took off is not charged again, nor taken off once more when it comes to less."""
        if charge in self.lowered:
            least = max(owed - noted.off, self.floor.get(charge, owed - noted.off))
            return least <= billed <= owed - noted.back
        return billed == owed - noted.off and not noted.back

    def sink(self, today: date) -> None:
        """Lower the floors to what the charges come to now."""
        owed = self.owed(today)
        self.floor = {charge: min(least, owed[charge]) for charge, least in self.floor.items()}

    def notes(self) -> dict[Charge, Notes]:
        found: dict[Charge, Notes] = {}
        for charge, amount in (one for parts in self.noted.values() for one in parts):
            found[charge] = found.get(charge, Notes()) + amount
        return found

    def owed(self, today: date) -> dict[Charge, Decimal]:
        """Return all fees of months that have begun, and the usage of those that are over."""
        found: dict[Charge, Decimal] = {}
        month = BEGIN
        while month <= today:
            following = next_month(month)
            is_over = following <= today
            found["fee", month], found["calls", month] = self._month(month, following, is_over)
            month = following
        return found

    def _month(self, start: date, end: date, is_over: bool) -> tuple[Decimal, Decimal]:
        first = [terms for since, terms in self.plans if since <= start][-1]
        if not is_over:
            return D(first.fee), D(0)
        cuts = [(start, first), *((d, terms) for d, terms in self.plans if start < d < end)]
        ends = [*(since for since, _ in cuts[1:]), end]
        days, fee, usage = (end - start).days, D(first.fee), D(0)
        if len(cuts) > 1:
            fee -= cents(D(first.fee) * (end - cuts[1][0]).days / days)
        for (since, terms), until in zip(cuts, ends, strict=True):
            share = (until - since).days
            if since != start:
                fee += cents(D(terms.fee) * share / days)
            used = sum(calls for day, calls in self.calls.values() if since <= day < until)
            included = (D(terms.included) * share / days).to_integral_value(ROUND_CEILING)
            usage += cents(max(D(0), used - included) * terms.each)
        return fee, usage


def charge_of(line: InvoiceLine) -> Charge:
    """Return what a line charges, or credits, of which month."""
    charged = line.credited or line
    what = "fee" if line.kind in (LineKind.FEE, LineKind.CREDIT) else "calls"
    return what, charged.service_start.replace(day=1)


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


class Killed(BaseException):
    """What a killed process is to what it ran: nothing catches it."""


names = st.sampled_from(["ada", "bob"])
days_ago = st.integers(0, 70)
calls = st.integers(0, 400)


class Life(RuleBasedStateMachine):
    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)
        metric = make.metric("calls")
        self.versions: dict[Terms, PlanVersion] = {
            terms: make.published(
                make.flat("base", str(terms.fee)),
                make.graduated(
                    metric, f"rest @ {terms.each}", key="calls", included_quantity=D(terms.included)
                ),
            )
            for terms in (SMALL, LARGE)
        }
        self.accounts = {name: Account([(BEGIN, SMALL)]) for name in ("ada", "bob")}
        self.subscriptions: dict[str, Subscription] = {
            name: make.subscription(
                make.customer(name), self.versions[SMALL], key=name, starts_on=BEGIN
            )
            for name in self.accounts
        }
        self.count = 0

    def teardown(self) -> None:
        try:
            self.bill_all()
        finally:
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    @rule(target=sent, name=names, days_ago=days_ago, calls=calls)
    def send(self, name: str, days_ago: int, calls: int) -> tuple[str, str]:
        """On time or late; what would be before the subscription is of its first day."""
        day = max(BEGIN, self.now.date() - timedelta(days=days_ago))
        self.count += 1
        id = f"{name}-{self.count}"
        assert self._ingest(name, id, day, calls).accepted == 1
        self.accounts[name].calls[id] = (day, calls)
        return name, id

    @rule(target=sent, name=names, days_ago=days_ago, calls=calls)
    def send_more(self, name: str, days_ago: int, calls: int) -> Any:
        """Usage is what happens most."""
        return self.send(name, days_ago, calls)

    @rule(event=sent)
    def send_again(self, event: tuple[str, str]) -> None:
        """The same, which counts once, and what says something else, which does not count."""
        name, id = event
        day, calls = self.accounts[name].calls[id]
        assert self._ingest(name, id, day, calls).duplicates == 1
        assert self._ingest(name, id, day, calls + 1).conflicts == 1

    @rule(event=consumes(sent), calls=st.none() | calls)
    def adjust(self, event: tuple[str, str], calls: int | None) -> None:
        """Void it, or let it count with other calls."""
        name, id = event
        key = UUID(bytes=event_key("life", id))
        told: dict[str, Any] = {"reason": "A test.", "at": self.now, "actor": SYSTEM}
        account = self.accounts[name]
        day, before = account.calls.pop(id)
        if (calls or 0) < before and next_month(day) <= self.now.date():
            account.lowered.add(("calls", day.replace(day=1)))
        if calls is None:
            void_events(keys=[key], **told)
        else:
            replace_event(key=key, data={"calls": calls}, **told)
            account.calls[id] = (day, calls)

    @rule(name=names, when=st.sampled_from([When.IMMEDIATE, When.IMMEDIATE, When.AT_PERIOD_END]))
    def change_plan(self, name: str, when: When) -> None:
        """To the other one, unless it is refused by name; then nothing changes."""
        account = self.accounts[name]
        terms = LARGE if account.plans[-1][1] == SMALL else SMALL
        try:
            with transaction.atomic():
                day = life.change_plan(
                    subscription_id=self.subscriptions[name].pk,
                    version=self.versions[terms],
                    when=when,
                    at=self.now,
                    actor=SYSTEM,
                )
        except (Refusal, Invalid):
            return
        account.lowered.add(("fee", day.replace(day=1)))
        account.plans = [(since, told) for since, told in account.plans if since < day]
        if not account.plans or account.plans[-1][1] != terms:  # else it only takes one back
            account.plans.append((day, terms))

    @rule(days=st.integers(1, 24))
    def time_passes(self, days: int) -> None:
        self.now += timedelta(days=days)

    @rule()
    def close(self) -> None:
        close(self.now)

    @rule(after=st.integers(1, 120))
    def crash_while_closing(self, after: int) -> None:
        """At a statement of the close or of the issue; whoever comes next does the rest."""
        left = after

        def kill(execute: Any, *arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return execute(*arguments)

        try:
            with connection.execute_wrapper(kill):
                close(self.now)
        except Killed:
            pass

    @rule()
    def settle(self) -> None:
        settle_late_usage(as_of=self.now)

    @rule(
        step=st.sampled_from(["issue", "recalculate", "discard", "void", "bill anew"]),
        which=st.integers(0, 30),
    )
    def handle(self, step: str, which: int) -> None:
        """Do with one of the invoices what may be done with it, and let it be billed anew."""
        is_issued = step in ("void", "bill anew")
        invoice = self._newest(which, *(["issued"] if is_issued else ["draft", "review"]))
        if invoice is None:
            return
        ids = [invoice.pk]
        told: dict[str, Any] = {"reason": "A test.", "reopen": True, "at": self.now}
        try:
            with transaction.atomic():
                if step == "issue":
                    issue_invoices(invoice_ids=ids, as_of=self.now, actor=SYSTEM)
                elif step == "recalculate":
                    recalculate_invoices(invoice_ids=ids, at=self.now, actor=SYSTEM)
                elif step == "discard":
                    discard_invoice(invoice_id=invoice.pk, actor=SYSTEM, **told)
                elif step == "void":
                    void_invoice(invoice_id=invoice.pk, actor=SYSTEM, **told)
                else:
                    issue_credit_note(
                        invoice_id=invoice.pk, bill_anew=True, reason="A test.", at=self.now,
                        actor=SYSTEM,
                    )  # fmt: skip
        except Refusal:
            assert is_issued  # only what is issued may be built on, or a void come too late (R32)
        else:
            if is_issued:  # with its notes, it is as if it had never been
                for account in self.accounts.values():
                    account.noted.pop(invoice.pk, None)
                    account.floor.clear()

    @rule(which=st.integers(0, 30), line=st.none() | st.integers(0, 4), percent=st.integers(1, 100))
    def credit(self, which: int, line: int | None, percent: int) -> None:
        """Give back all that is left of an issued invoice, or some of what is left of one line."""
        invoice = self._newest(which, "issued")
        if invoice is None:
            return
        asked = None
        if line is not None:
            rows = books_of([Invoice.objects.with_lines().get(pk=invoice.pk)])[invoice.pk].lines
            one = rows[line % len(rows)]
            asked = [Asked(one.line_id, amount=cents(one.left * percent / 100))]
        try:
            note = issue_credit_note(
                invoice_id=invoice.pk, asked=asked, reason="A test.", at=self.now, actor=SYSTEM
            )
        except (Refusal, Invalid):
            return  # nothing is left of it
        for part in note.lines.select_related("line__subscription", "line__credited"):
            account = self.accounts[part.line.subscription.key]
            account.noted.setdefault(invoice.pk, []).append((charge_of(part.line), part.net))
        left = [self._billed(), self._billed("draft", "review")]
        for part in note.lines.select_related("line__subscription", "line__credited"):
            name, charge = part.line.subscription.key, charge_of(part.line)
            self.accounts[name].floor[charge] = min(one[name].get(charge, D(0)) for one in left)

    @rule(name=names, amount=st.integers(1, 90), is_deposit=st.booleans(), which=st.integers(0, 3))
    def pay(self, name: str, amount: int, is_deposit: bool, which: int) -> None:
        """Money ahead, which later invoices take, or for one of the invoices."""
        customer = self.subscriptions[name].customer
        mine = OpenItem.objects.filter(invoice__customer=customer, invoice__status="issued")
        due = [(one, one.open) for one in mine.select_related("invoice") if one.open > 0]
        portions = {}
        if due and not is_deposit:
            one, left = due[which % len(due)]
            portions = {one.invoice: str(min(left, D(amount)))}
        kind = PaymentKind.DEPOSIT if is_deposit else PaymentKind.PAYMENT
        make.payment(customer, str(amount), portions=portions, kind=kind, at=self.now)
        self.accounts[name].paid += amount

    @invariant()
    @precondition(lambda self: hasattr(self, "now"))
    def the_audit_finds_nothing(self) -> None:
        for account in self.accounts.values():
            account.sink(self.now.date())
        assert contradictions(self.now, but=WAITING) == []

    def bill_all(self) -> None:
        """Close month after month until nothing waits: then the ledger is billed, to the cent."""
        for _ in range(24):
            self.now = datetime.combine(next_month(self.now.date()), self.now.time(), UTC)
            settle_late_usage(as_of=self.now)
            close(self.now)
            left = Invoice.objects.filter(status__in=["draft", "review"]).order_by("pk")
            issue_invoices(
                invoice_ids=list(left.values_list("pk", flat=True)), as_of=self.now, actor=SYSTEM
            )
            if self._agrees():
                break
        billed, today = self._billed(), self.now.date()
        for name, account in self.accounts.items():
            told = account.owed(today), account.notes()
            assert account.agrees(billed[name], today), (name, billed[name], *told)
            self._is_owed(name, sum(billed[name].values(), D(0)) - account.paid)
        assert contradictions(self.now) == []

    def _agrees(self) -> bool:
        billed, today = self._billed(), self.now.date()
        return all(one.agrees(billed[name], today) for name, one in self.accounts.items())

    def _billed(self, *drafts: str) -> dict[str, dict[Charge, Decimal]]:
        """Return what issued invoices charge and credit each, less what people credited of them.

        With what those of these states would.
        """
        found: dict[str, dict[Charge, Decimal]] = {name: {} for name in self.accounts}
        lines = InvoiceLine.every.filter(invoice__status__in=["issued", "settled", *drafts])
        noted = CreditNoteLine.objects.filter(line__invoice__status="issued", settles=None)
        parts = [
            *((line, line.net) for line in lines.select_related("subscription", "credited")),
            *(
                (p.line, -p.net)
                for p in noted.select_related("line__subscription", "line__credited")
            ),
        ]
        for line, net in parts:
            mine, charge = found[line.subscription.key], charge_of(line)
            mine[charge] = mine.get(charge, D(0)) + net
        return found

    def _is_owed(self, name: str, amount: Decimal) -> None:
        """What is open, less what the customer has with us: invoices less notes and payments."""
        customer = self.subscriptions[name].customer
        found = positions(as_of=self.now.date(), customer_ids=[customer.pk])
        assert sum((one.total for one in found.values()), D(0)) == amount

    def _newest(self, which: int, *statuses: str) -> Invoice | None:
        found = list(Invoice.objects.filter(status__in=statuses).order_by("-pk"))
        return found[which % len(found)] if found else None

    def _ingest(self, name: str, id: str, day: date, calls: int) -> Any:
        event = make_event(
            source="life",
            id=id,
            type="api.call",
            subject=name,
            subscription=None,
            time=datetime.combine(day, datetime.min.time(), UTC),
            data={"calls": calls},
        )
        return ingest([event], received_at=self.now)


def test_every_cent_is_billed_once() -> None:
    with override_settings(LATE_USAGE_DAYS=4000):
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=50,
                deadline=None,
                phases=[Phase.explicit, Phase.generate],  # shrinking would take many minutes
                suppress_health_check=list(HealthCheck),
            ),
        )
