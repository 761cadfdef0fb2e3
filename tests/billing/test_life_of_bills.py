"""Whatever happens in whatever order: the bills come to what a small ledger says, and the audit agrees.

A state machine sends events on time, late and twice, voids and replaces them, changes plans, closes,
issues, voids, credits and redraws invoices, crashes in the middle and lets time pass. Beside it a ledger keeps
the events and the plans, and rates them in whole numbers by R5, R15, R17 and R20. After each step the
audit finds nothing; in the end every cent of the ledger is billed, and none besides.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any
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

from billing.models import Invoice, InvoiceLine, LateUsage
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


@dataclass
class Account:
    """What the ledger knows of a subscription."""

    plans: list[tuple[date, Terms]]
    calls: dict[str, tuple[date, int]] = field(default_factory=dict)

    def owed(self, today: date) -> Decimal:
        """Return all fees of months that have begun, and the usage of those that are over."""
        total, month = D(0), BEGIN
        while month <= today:
            following = next_month(month)
            total += self._month(month, following, is_over=following <= today)
            month = following
        return total

    def _month(self, start: date, end: date, *, is_over: bool) -> Decimal:
        first = [terms for since, terms in self.plans if since <= start][-1]
        if not is_over:
            return D(first.fee)
        cuts = [(start, first), *((d, terms) for d, terms in self.plans if start < d < end)]
        ends = [*(since for since, _ in cuts[1:]), end]
        days, total = (end - start).days, D(first.fee)
        if len(cuts) > 1:
            total -= cents(D(first.fee) * (end - cuts[1][0]).days / days)
        for (since, terms), until in zip(cuts, ends, strict=True):
            share = (until - since).days
            if since != start:
                total += cents(D(terms.fee) * share / days)
            used = sum(calls for day, calls in self.calls.values() if since <= day < until)
            included = (D(terms.included) * share / days).to_integral_value(ROUND_CEILING)
            total += cents(max(D(0), used - included) * terms.each)
        return total


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
        day, _ = self.accounts[name].calls.pop(id)
        if calls is None:
            void_events(keys=[key], **told)
        else:
            replace_event(key=key, data={"calls": calls}, **told)
            self.accounts[name].calls[id] = (day, calls)

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
        step=st.sampled_from(["issue", "recalculate", "discard", "void", "credit"]),
        which=st.integers(0, 30),
    )
    def handle(self, step: str, which: int) -> None:
        """Do with one of the invoices what may be done with it, and let it be billed anew."""
        is_issued = step in ("void", "credit")
        statuses = ["issued"] if is_issued else ["draft", "review"]
        found = list(Invoice.objects.filter(status__in=statuses).order_by("-pk"))
        if not found:
            return
        invoice = found[which % len(found)]
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

    @invariant()
    @precondition(lambda self: hasattr(self, "now"))
    def the_audit_finds_nothing(self) -> None:
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
            owed = {name: one.owed(self.now.date()) for name, one in self.accounts.items()}
            if self._billed() == owed and not self._waiting():
                break
        assert self._billed() == owed
        assert not self._waiting()
        assert contradictions(self.now) == []

    def _billed(self) -> dict[str, Decimal]:
        return {
            name: sum(
                InvoiceLine.objects.filter(
                    subscription=subscription, invoice__status="issued"
                ).values_list("net", flat=True),
                D(0),
            )
            for name, subscription in self.subscriptions.items()
        }

    def _waiting(self) -> bool:
        return LateUsage.objects.filter(status="waiting").exists()

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
