"""Which drafts need eyes and why, and one decision over many of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing import tasks
from billing.models import (
    BatchAction,
    BillingPeriod,
    BillingRun,
    DraftOddity,
    Invoice,
    InvoiceBatch,
    Look,
)
from billing.services import batches, issuing, portions, reviewing
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from customers.models import Customer, Subscription
from tests import factories as make
from tests.billing.months import close, use
from tests.staff import anna, dora, leo, page, queries, said, sam

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
REVIEW = page("billing_invoice", "review")
DECIDE = page("billing_invoice", "decide")


@pytest.fixture(autouse=True)
def _on_the_first_of_december() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def plan() -> PlanVersion:
    usage = make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100))
    return make.published(make.flat("base", "10"), usage)


def subscribe(plan: PlanVersion, name: str, *calls: int, **terms: Any) -> Subscription:
    """Subscribe somebody who used that many calls in August, September and so on."""
    customer = make.customer(name, name=name.title(), **terms)
    one = make.subscription(customer, plan, key=name, starts_on=date(2026, 8, 1))
    for n, count in enumerate(calls):
        if count:
            use(one, datetime(2026, 8 + n, 5, tzinfo=UTC), calls=count)
    return one


def live_until_december() -> None:
    for month in (9, 10, 11):
        close(datetime(2026, month, 3, tzinfo=UTC))
    close(NOW)
    look()


def look() -> None:
    while reviewing.look_over(at=NOW):
        pass


def oddities() -> list[tuple[str, str]]:
    return list(DraftOddity.objects.values_list("kind", "detail"))


class TestWhy:
    @pytest.mark.parametrize(
        ("calls", "found"),
        [
            pytest.param((0, 0, 0, 0), [], id="as always"),
            pytest.param((105, 105, 105, 112), [], id="17 instead of 15 is not half as much again"),
            pytest.param(
                (110, 110, 110, 121),
                [("changed", "31.00 EUR net, 20.00 EUR the last time.")],
                id="more than half as much again",
            ),
            pytest.param(
                (30, 30, 30, 61),
                [("usage", "Calls: much more than usual, 61 against a mean of 30.")],
                id="twice the usage, though it costs the same",
            ),
            pytest.param(
                (30, 30, 30, 0),
                [("usage", "Calls: none, though there always was, 0 against a mean of 30.")],
                id="none, though there always was",
            ),
        ],
    )
    def test_against_the_past(
        self, calls: tuple[int, ...], found: list[tuple[str, str]], plan: PlanVersion
    ) -> None:
        subscribe(plan, "ada", *calls)
        live_until_december()
        assert oddities() == found

    def test_a_first_invoice_is_looked_at(self, plan: PlanVersion) -> None:
        make.subscription(make.customer("new"), plan, starts_on=date(2026, 12, 1))
        close(NOW)
        look()
        assert oddities() == [("first", "The first invoice of this customer.")]

    def test_a_draft_is_looked_at_once_until_it_is_redrawn(self, plan: PlanVersion) -> None:
        ada = subscribe(plan, "ada", 110, 110, 110, 110)
        live_until_december()
        assert (oddities(), reviewing.unseen().count()) == ([], 0)
        use(ada, datetime(2026, 11, 20, tzinfo=UTC), received_at=NOW, calls=40)
        [draft] = reviewing.open_drafts()
        issuing.recalculate_invoices(invoice_ids=[draft.pk], at=NOW, actor=SYSTEM)
        assert reviewing.unseen().get() == draft
        look()
        assert oddities() == [("changed", "60.00 EUR net, 20.00 EUR the last time.")]
        assert Look.objects.count() == 1

    def test_what_can_not_be_compared_is_said_of_it_alone(
        self, plan: PlanVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada, _ = subscribe(plan, "ada"), subscribe(plan, "ben")
        compare = reviewing._changed

        def fail(invoice: Invoice, *rest: Any) -> str:
            if invoice.customer == ada.customer:
                raise ValueError("no")
            return compare(invoice, *rest)

        monkeypatch.setattr(reviewing, "_changed", fail)
        live_until_december()
        assert oddities() == [("unknown", "It could not be compared: no")]
        assert reviewing.unseen().count() == 0

    def test_reasons_are_counted_and_kept_by(self, plan: PlanVersion) -> None:
        subscribe(plan, "ada", 110, 110, 110, 150)
        subscribe(plan, "ben", manual_approval=True)
        held = subscribe(plan, "cleo")
        subscribe(plan, "dan")
        live_until_december()
        [of_cleo] = reviewing.open_drafts().filter(customer=held.customer)
        issuing.hold_for_review(invoice_id=of_cleo.pk, actor=SYSTEM, reason="Odd.")
        by_hand = Customer.objects.get(key="ben").invoices.count()
        drafts = reviewing.open_drafts()
        found = reviewing.counted_reasons(drafts)
        assert found == {"held": 1, "by_hand": by_hand, "zero": 0, "changed": 1, "first": 1}
        assert set(reviewing.with_reason(drafts, "held")) == {of_cleo}
        assert reviewing.with_reason(drafts, "changed").get().customer.key == "ada"
        assert not reviewing.with_reason(drafts, "").filter(customer__key="dan").exists()

    def test_it_asks_as_much_for_3_as_for_30(self, plan: PlanVersion) -> None:
        def asked(count: int) -> int:
            for n in range(count):
                subscribe(plan, f"of{count}-{n}", 10, 10, 10, 50)
            for month in (9, 10, 11):
                close(datetime(2026, month, 3, tzinfo=UTC))
            close(NOW)
            with CaptureQueriesContext(connection) as captured:
                reviewing.look_over(at=NOW)
            return len(captured)

        few = asked(3)
        assert asked(27) == few

    def test_a_run_looks_over_what_it_drafted(self, plan: PlanVersion) -> None:
        subscribe(plan, "ada")
        tasks.sweep()
        assert reviewing.unseen().count() == 0
        assert Look.objects.exists()
        out = StringIO()
        call_command("review_drafts", stdout=out)
        assert "drafts need eyes." in out.getvalue()


class TestBatch:
    @pytest.fixture
    def three(self, plan: PlanVersion) -> list[Invoice]:
        for name in ("ada", "ben", "cleo"):
            subscribe(plan, name)
        live_until_december()
        return list(reviewing.open_drafts().order_by("pk"))

    def decide(self, action: BatchAction, reason: str = "") -> InvoiceBatch:
        return batches.start_batch(
            invoices=reviewing.open_drafts(), action=action, reason=reason, at=NOW, actor=SYSTEM
        )

    def carry_out(self, batch: InvoiceBatch) -> dict[str, int]:
        tasks.advance_batch(batch.pk)
        batch.refresh_from_db()
        assert batch.status == "finished"
        return batches.counted_rows(batch)

    def test_all_are_issued(self, three: list[Invoice]) -> None:
        assert self.carry_out(self.decide(BatchAction.ISSUE)) == {"done": 3}
        assert {one.status for one in Invoice.objects.filter(pk__in=[one.pk for one in three])} == {
            "issued"
        }

    def test_what_can_not_be_is_left_and_named(self, three: list[Invoice]) -> None:
        batch = self.decide(BatchAction.ISSUE)
        discard = {"reason": "x", "reopen": True, "at": NOW, "actor": SYSTEM}
        issuing.discard_invoice(invoice_id=three[1].pk, **discard)  # type: ignore[arg-type]
        issuing.issue_invoices(invoice_ids=[three[2].pk], as_of=NOW, actor=SYSTEM)
        assert self.carry_out(batch) == {"done": 1, "refused": 2}
        notes = list(batch.rows.order_by("pk").values_list("note", flat=True))
        assert "discarded already" in notes[1]
        assert "issued already" in notes[2]

    def test_taken_up_again_it_does_the_rest(
        self, three: list[Invoice], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(portions, "PORTION", 2)
        batch = self.decide(BatchAction.ISSUE)
        assert batches.take_step(batch_id=batch.pk, now=NOW)
        assert batches.counted_rows(batch) == {"done": 2, "waiting": 1}
        tasks.sweep()
        assert batches.counted_rows(batch) == {"done": 3}
        assert not batches.take_step(batch_id=batch.pk, now=NOW)

    def test_a_run_is_undone_until_issue(self, three: list[Invoice]) -> None:
        batch = self.decide(BatchAction.DISCARD, "The price was wrong.")
        assert self.carry_out(batch) == {"done": 3}
        assert {one.reason for one in Invoice.objects.filter(pk__in=[one.pk for one in three])} == {
            "The price was wrong."
        }
        entries = AuditEntry.objects.filter(action="discarded, to be billed anew")
        assert entries.count() == 3
        assert BillingPeriod.objects.filter(status="open", end_date=date(2026, 12, 1)).count() == 3
        close(NOW)
        assert reviewing.open_drafts().count() == 3

    def test_discarding_needs_a_reason(self, three: list[Invoice]) -> None:
        with pytest.raises(Invalid, match="Say why"):
            self.decide(BatchAction.DISCARD, "  ")
        assert not InvoiceBatch.objects.exists()

    def test_nothing_is_nothing_to_decide(self) -> None:
        with pytest.raises(batches.NothingToDecide):
            self.decide(BatchAction.ISSUE)

    def test_holding_says_why(self, three: list[Invoice]) -> None:
        assert self.carry_out(self.decide(BatchAction.HOLD, "Ask Leo.")) == {"done": 3}
        assert set(reviewing.open_drafts().values_list("status", "reason")) == {
            ("review", "Ask Leo.")
        }


class TestPages:
    @pytest.fixture
    def drafts(self, plan: PlanVersion) -> list[Invoice]:
        subscribe(plan, "ada", 110, 110, 110, 150)
        subscribe(plan, "ben")
        live_until_december()
        return list(reviewing.open_drafts().order_by("pk"))

    def test_odd_ones_come_with_their_reason(self, drafts: list[Invoice]) -> None:
        client = anna()
        words = said(client.get(REVIEW))
        assert "All that need eyes 1" in words
        assert "Ada 60.00 EUR net, 20.00 EUR the last time. 60.00 EUR" in words
        assert "Ben" not in words
        every = said(client.get(REVIEW, {"reason": "every"}))
        assert "Ben As usual 10.00 EUR" in every
        assert "Ben" in said(client.get(REVIEW, {"reason": "none"}))
        assert client.get(REVIEW, {"reason": "nonsense", "run": "x"}).status_code == 200

    def test_leo_issues_all_after_a_look_at_the_sum(self, drafts: list[Invoice]) -> None:
        client = leo()
        given = {"action": "issue", "which": "all", "reason": "every"}
        asked = client.post(DECIDE, given)
        words = said(asked)
        assert "Issue 2 drafts?" in words
        assert "In all 2 drafts, 70.00 EUR, tax included." in words
        assert Invoice.objects.filter(status="draft").count() == 2
        done = client.post(DECIDE, {**given, "seen": asked.context["seen"]}, follow=True)
        assert "Finished 100 %" in said(done)
        assert "Done 2 of 2 invoices" in said(done)
        assert not reviewing.open_drafts().exists()

    def test_what_changed_since_the_look_is_asked_again(self, drafts: list[Invoice]) -> None:
        given = {"action": "issue", "which": "all", "reason": "every", "seen": "1 draft, 1.00 EUR"}
        words = said(leo().post(DECIDE, given))
        assert "The drafts changed since: look again." in words
        assert not InvoiceBatch.objects.exists()

    def test_some_are_held(self, drafts: list[Invoice]) -> None:
        client = anna()
        given = {"action": "hold", "which": "chosen", "ids": [drafts[0].pk]}
        seen = client.post(DECIDE, given).context["seen"]
        client.post(DECIDE, {**given, "seen": seen, "why": "Ask them."})
        assert Invoice.objects.get(status="review").reason == "Ask them."

    def test_anna_undoes_a_run_from_its_page(self, drafts: list[Invoice]) -> None:
        client, run = anna(), BillingRun.objects.first()
        assert run
        shown = client.get(page("billing_billingrun", "change", run.pk))
        assert "Undo its drafts…" in said(shown)
        asked = client.get(shown.context["undo_url"])
        assert "Discard 2 drafts?" in said(asked)
        given = {name: asked.context[name] for name in ("action", "which", "run", "reason", "seen")}
        assert "Say why" in said(client.post(DECIDE, given))
        client.post(DECIDE, {**given, "why": "Too early."})
        assert not reviewing.open_drafts().exists()

    @pytest.mark.parametrize("given", [{}, {"action": "burn"}, {"action": "hold", "ids": ["x"]}])
    def test_nothing_chosen_leads_back(self, given: dict[str, Any], drafts: list[Invoice]) -> None:
        assert anna().post(DECIDE, given).headers["Location"].startswith(REVIEW)

    def test_nothing_to_see_says_what_to_do(self) -> None:
        assert "No draft needs eyes. All drafts" in said(anna().get(REVIEW))

    def test_it_asks_as_much_for_3_as_for_30(self, plan: PlanVersion) -> None:
        client = anna()

        def asked(count: int) -> int:
            for n in range(count):
                subscribe(plan, f"of{count}-{n}", 10, 10, 10, 50)
            live_until_december()
            return queries(lambda: client.get(REVIEW, {"reason": "every"}))

        few = asked(3)
        assert asked(27) == few

    def test_who_may_what(self, drafts: list[Invoice]) -> None:
        def allowed(client: Client, action: str) -> int:
            return client.post(DECIDE, {"action": action, "which": "all"}).status_code

        support = sam()
        assert support.get(REVIEW).status_code == 200
        assert "Issue…" not in said(support.get(REVIEW))
        assert [allowed(support, one) for one in BatchAction.values] == [403] * 3
        assert allowed(anna(), "issue") == 403
        assert dora().get(REVIEW).status_code == 403
