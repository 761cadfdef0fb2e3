"""Late usage as people read it: on the invoice, in the portal, over the API, in the admin (R31)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.core.management import call_command

from billing import tasks
from billing.beside import beside
from billing.late_usage.beside import commitments_beside
from billing.late_usage.books import LATE_BOOKS
from billing.models import Invoice, InvoiceLine, LateUsage, UsageSnapshot
from billing.presentation import present
from billing.presentation.views import LineView
from billing.services.readiness import late_sums
from billing.settlement import unsettled
from config.base.audit import SYSTEM
from config.base.invariants import audit
from config.base.models import AuditEntry
from customers.models import Subscription
from metering.events import event_key
from metering.services import void_events
from tests import factories as make
from tests.billing.months import close, left, use
from tests.billing.test_books import unguarded
from tests.billing.test_late import at, void
from tests.conftest import Caller
from tests.customers import door
from tests.staff import anna, leo, said, sam, stranger

pytestmark = pytest.mark.django_db
D = Decimal
NOW = at(11, 3, 9)
OCTOBER = at(10, 5)


@pytest.fixture(autouse=True)
def now() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def settled(**terms: Any) -> Subscription:
    """Ada's 110 calls of September at 1.00 above 100, whose invoice is issued; 10 a month beside."""
    calls = make.metric("calls", name="API calls")
    price = make.graduated(
        calls, "rest @ 1", key="calls", name="API calls", included_quantity=D(100)
    )
    plan = make.published(make.flat("base", "10", name="Base fee"), price, **terms)
    ada = make.subscription(make.customer("ada"), plan, key="ada", starts_on=date(2026, 9, 1))
    use(ada, at(9, 10), id="first", calls=110)
    close(at(10, 2, 1))
    return ada


def arrives(subscription: Subscription, calls: int, moment: datetime = OCTOBER) -> None:
    use(subscription, at(9, 15), id="late", received_at=moment, calls=calls)


def october() -> Invoice:
    """Close October and return its invoice."""
    return close(at(11, 2, 1))[-1]


def late_views(invoice: Invoice, locale: str = "en-GB") -> list[LineView]:
    lines = {str(line.uuid): line for line in invoice.lines.all()}
    views = present(invoice, locale=locale).lines
    return [view for view in views if "billed" in lines[view.uuid].explanation]


def rows(view: LineView) -> list[tuple[str, str, str]]:
    return [(row.label, row.quantity, row.amount) for row in view.rows]


@pytest.fixture
def held(settings: Any) -> LateUsage:
    """Two late calls, held since they are worth less than three euros."""
    settings.LATE_USAGE_THRESHOLDS = {"EUR": D(3)}
    arrives(settled(), 2)
    october()
    return LateUsage.objects.get()


class TestTheInvoice:
    def test_the_whole_less_what_was_billed_is_the_line(self) -> None:
        arrives(settled(), 5)
        [view] = late_views(october())
        assert (view.name, view.quantity, view.net) == ("Late usage: API calls", "5 calls", "5.00")
        assert view.summary == "used 115 · included 100 · over 15"
        assert rows(view) == [
            ("Included in your plan", "100", "0.00"),
            ("Over the allowance", "15", "15.00"),
            ("Billed on INV-2026-000002", "", "−10.00"),
        ]
        assert view.notes[0].startswith("Came in or was corrected after INV-2026-000002")

    def test_in_german(self) -> None:
        arrives(settled(), 5)
        [view] = late_views(october(), "de-DE")
        assert view.name == "Nachträgliche Nutzung: API calls"
        assert rows(view)[-1] == ("Berechnet mit INV-2026-000002", "", "−10,00")
        assert view.notes[0].startswith("Nach INV-2026-000002 eingegangen oder berichtigt")

    def test_a_credit_that_is_too_large_is_a_credit_note_s(self) -> None:
        ada = settled()
        arrives(ada, 15)
        october()
        void(ada, at(11, 5))
        november = close(at(12, 2, 1))[-1]
        assert (late_views(november), left(november)) == ([], [("API calls", "-25.00")])
        assert present(november, beside=beside(november)).beside == (
            "CN-2026-000001 credits €10.00 of INV-2026-000002. Usage that was corrected after it was "
            "billed.",
            "CN-2026-000002 credits €15.00 of INV-2026-000003. Usage that was corrected after it was "
            "billed.",
        )

    def test_what_was_written_off_is_named(self, held: LateUsage) -> None:
        leo().post(f"/admin/billing/lateusage/{held.pk}/write-off/", {"reason": "Too little."})
        use(held.period.subscription, at(9, 16), received_at=at(11, 5), calls=4)
        [view] = late_views(close(at(12, 2, 1))[-1])
        assert rows(view)[-2:] == [
            ("Billed on INV-2026-000002", "", "−10.00"),
            ("Not billed, as agreed", "", "−2.00"),
        ]
        assert view.net == "4.00"

    @pytest.mark.parametrize(
        ("least", "usage", "commitment"),
        [
            pytest.param("50", "5.00", "−5.00", id="late usage makes up for what was lacking"),
            pytest.param("22", "5.00", "−2.00", id="as far as anything was"),
            pytest.param("20", "5.00", None, id="or not at all"),
        ],
    )
    def test_the_commitment_is_compared_anew(
        self, least: str, usage: str, commitment: str | None
    ) -> None:
        arrives(settled(minimum_commitment=D(least)), 5)
        views = late_views(october())
        assert [view.net for view in views] == [usage, *([commitment] if commitment else [])]
        for view in views[1:]:
            assert view.name == "Minimum commitment, after late usage"
            assert rows(view)[-1][0] == "Billed on INV-2026-000002"

    def test_coupons_of_the_period_reduce_what_is_late_of_it(self) -> None:
        ada = settled()
        make.applied_coupon(ada, make.coupon(duration="forever"), starts_on=date(2026, 10, 1))
        october()  # 10 % off, as it is after the 1st; no usage
        use(ada, at(10, 15), received_at=at(11, 5), calls=120)
        [view] = late_views(close(at(12, 2, 1))[-1])
        assert (rows(view)[-2:], view.net) == (
            [
                ("Coupons of that invoice", "", "−2.00"),
                ("Billed on INV-2026-000003", "", "0.00"),
            ],
            "18.00",
        )


class TestThePortal:
    def test_the_line_says_how_to_check_it(self) -> None:
        ada = settled()
        arrives(ada, 5)
        invoice = october()
        client = door.signed_in(door.contact(ada.customer))
        page = said(client.get(f"/portal/invoices/{invoice.uuid}/"))
        assert "Late usage: API calls" in page
        assert "Came in or was corrected after INV-2026-000002" in page
        assert "Billed on INV-2026-000002: −10.00" in page

    def test_the_upcoming_invoice_shows_it(self) -> None:
        ada = settled()
        october()
        arrives(ada, 5, at(11, 3, 8))
        client = door.signed_in(door.contact(ada.customer))
        assert "Late usage: API calls" in said(client.get("/portal/upcoming/ada/"))
        assert client.get("/portal/").status_code == 200


class TestBesideACommitment:
    """September: 10 of fees and 10 of usage on a plan of at least 170, so 150 were charged for
    lacking them. What comes late first makes up for that."""

    @pytest.fixture
    def committed(self, settings: Any) -> LateUsage:
        """200 late calls, held since they are worth less than the threshold."""
        settings.LATE_USAGE_THRESHOLDS = {"EUR": D(500)}
        ada = settled(minimum_commitment=D(170))
        arrives(ada, 200)
        october()
        return LateUsage.objects.get()

    def test_the_list_and_the_page_say_what_will_be_charged(self, committed: LateUsage) -> None:
        parts = "50.00 EUR: 200.00 EUR of usage, −150.00 EUR of the minimum commitment"
        client, url = anna(), f"/admin/billing/lateusage/{committed.pk}/"
        assert parts in said(client.get("/admin/billing/lateusage/"))
        assert parts in said(client.get(f"{url}change/"))
        asked = said(client.get(f"{url}bill/"))
        assert "Have 50.00 EUR billed?" in asked
        assert "200.00 EUR of usage, −150.00 EUR of the minimum commitment." in asked

    def test_and_that_is_charged(self, committed: LateUsage) -> None:
        client, url = anna(), f"/admin/billing/lateusage/{committed.pk}/"
        client.post(f"{url}bill/")
        drawn = close(at(12, 2, 1))[-1]
        nets = [line.net for line in drawn.lines.all() if "billed" in line.explanation]
        assert sorted(nets) == [D(-150), D(200)]
        committed.refresh_from_db()
        assert committed.status == "billed"
        assert "of the minimum commitment" not in said(client.get(f"{url}change/"))

    def test_the_api_and_the_readiness(self, caller: Caller, committed: LateUsage) -> None:
        client = caller("billing:read")
        [row] = client.get("/api/v1/billing/late-usage").json()["results"]
        assert (row["amount"], row["commitment"]) == ("200.00", "-150.00")
        assert [str(one.amount.normalize()) for one in late_sums(customer_id=None)] == ["5E+1"]

    def test_what_makes_up_for_all_of_it_leaves_nothing_to_the_next(
        self, committed: LateUsage
    ) -> None:
        """Two prices of one period: the second finds the commitment made up for."""
        twin = LateUsage(
            pk=committed.pk + 1,
            **{
                name: getattr(committed, name)
                for name in (
                    "period",
                    "price",
                    "snapshot",
                    "invoice",
                    "currency",
                    "amount",
                    "status",
                )
            },
        )
        assert commitments_beside([committed, twin]) == {committed.pk: D(-150)}

    def test_without_a_commitment_nothing_is_asked(
        self, held: LateUsage, django_assert_num_queries: Any
    ) -> None:
        row = LateUsage.objects.select_related("period__phase__plan_version").get()
        with django_assert_num_queries(0):
            assert commitments_beside([row]) == {}


class TestTheApi:
    def test_a_line_has_all_that_was_billed_before(self, caller: Caller) -> None:
        arrives(settled(), 5)
        invoice = october()
        answer = caller().get(f"/api/v1/invoices/{invoice.uuid}").json()
        [line] = [one for one in answer["lines"] if one["kind"] == "late"]
        assert (line["quantity"], line["net"]) == ("5", "5.00")
        assert line["explanation"]["whole"] == "15.00"
        assert line["explanation"]["billed"] == [
            {"invoice": "INV-2026-000002", "quantity": "110", "amount": "10.00"}
        ]
        sentences = caller().get(f"/api/v1/invoices/{invoice.uuid}/explanation").json()
        assert "Billed on INV-2026-000002: −10.00" in sentences["lines"][-1]["sentences"]

    def test_what_is_held_is_listed_and_billed(self, caller: Caller, held: LateUsage) -> None:
        client = caller()
        listed = client.get("/api/v1/billing/late-usage?status=held&customer=ada").json()
        [row] = listed["results"]
        assert (row["status"], row["held_for"], row["amount"]) == ("held", "small", "2.00")
        assert (row["quantity"], row["billed_quantity"]) == ("112", "110")
        assert (row["customer"], row["metric"]) == ("ada", "calls")
        billed = client.post(f"/api/v1/billing/late-usage/{row['id']}/bill")
        assert (billed.status_code, billed.json()["status"]) == (200, "approved")
        again = client.post(f"/api/v1/billing/late-usage/{row['id']}/bill")
        assert (again.status_code, again.json()["code"]) == (409, "late_usage_decided")
        assert client.get("/api/v1/billing/late-usage?status=held").json()["results"] == []

    @pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": 7}, {"why": "x"}])
    def test_writing_off_needs_a_reason(
        self, caller: Caller, held: LateUsage, body: dict[str, Any]
    ) -> None:
        url = f"/api/v1/billing/late-usage/{held.uuid}/write-off"
        assert caller().post(url, body, format="json").status_code == 400
        held.refresh_from_db()
        assert held.status == "held"

    def test_written_off(self, caller: Caller, held: LateUsage) -> None:
        url = f"/api/v1/billing/late-usage/{held.uuid}/write-off"
        answer = caller().post(url, {"reason": "Too little."}, format="json").json()
        assert (answer["status"], answer["reason"]) == ("written_off", "Too little.")

    def test_a_key_without_the_scope_sees_nothing(self, caller: Caller, held: LateUsage) -> None:
        client = caller("events:read")
        assert client.get("/api/v1/billing/late-usage").status_code == 403
        assert client.post(f"/api/v1/billing/late-usage/{held.uuid}/bill").status_code == 403


class TestTheAdmin:
    def test_what_is_held_is_on_the_first_page_and_in_the_list(self, held: LateUsage) -> None:
        client = anna()
        assert "1 amount of late usage waits for a decision." in said(client.get("/admin/"))
        page = said(client.get("/admin/billing/lateusage/"))
        assert "2.00 EUR" in page
        assert "Below the threshold" in page

    def test_anna_bills_it_and_the_trail_says_so(self, held: LateUsage) -> None:
        client = anna()
        url = f"/admin/billing/lateusage/{held.pk}/bill/"
        assert "Have 2.00 EUR billed?" in said(client.get(url))
        client.post(url)
        held.refresh_from_db()
        assert (held.status, held.decided_by) == ("approved", "anna")
        assert AuditEntry.objects.filter(action="to be billed", subject_id=held.pk).exists()
        assert "on its way" not in said(client.post(url, follow=True))

    def test_only_a_lead_writes_off_and_says_why(self, held: LateUsage) -> None:
        url = f"/admin/billing/lateusage/{held.pk}/write-off/"
        assert anna().post(url, {"reason": "Too little."}).status_code == 403
        client = leo()
        assert "Stands in the audit trail" in said(client.post(url, {"reason": " "}))
        client.post(url, {"reason": "Too little."})
        held.refresh_from_db()
        assert (held.status, held.reason) == ("written_off", "Too little.")

    @pytest.mark.parametrize(
        ("action", "status"), [("bill_many", "approved"), ("write_off_many", "written_off")]
    )
    def test_many_at_once(self, held: LateUsage, action: str, status: str) -> None:
        client = leo()
        chosen = {"action": action, "_selected_action": [str(held.pk)]}
        client.post("/admin/billing/lateusage/", chosen)
        client.post("/admin/billing/lateusage/", {**chosen, "reason": "Too little."})
        held.refresh_from_db()
        assert held.status == status

    def test_support_looks_and_a_stranger_does_not(self, held: LateUsage) -> None:
        url = f"/admin/billing/lateusage/{held.pk}/"
        assert sam().get(f"{url}change/").status_code == 200
        assert stranger().get(f"{url}change/").status_code == 403

    def test_an_invoice_with_it_opens(self) -> None:
        arrives(settled(), 5)
        page = said(anna().get(f"/admin/billing/invoice/{october().pk}/change/"))
        assert "Late usage: API calls" in page
        assert "Late usage, 1–30 Sept 2026" in page


class TestEveryDay:
    def test_the_command_and_the_task_note_what_is_on_its_way(self) -> None:
        ada = settled()
        arrives(ada, 5)
        out = StringIO()
        call_command("settle_late_usage", stdout=out)
        tasks.settle_late_usage()
        assert out.getvalue().startswith("0 invoices drafted; 1 amounts")
        row = LateUsage.objects.get()
        assert (row.status, row.amount) == ("approved", D(5))
        october()
        row.refresh_from_db()
        assert row.status == "billed"

    def test_what_was_noted_in_time_is_billed_however_late_the_next_invoice(self) -> None:
        ada = settled()
        arrives(ada, 5)
        with time_machine.travel(at(10, 6)):
            tasks.settle_late_usage()
        later = at(3, 2, 1, year=2027)
        with time_machine.travel(later):
            close(later)
        late = InvoiceLine.objects.filter(kind="late")
        assert [line.net for line in late] == [D(5)]

    def test_while_something_waits_its_events_are_not_archived(self, held: LateUsage) -> None:
        said = list(unsettled(at(9, 1), at(10, 1)))
        assert "1 amount of late usage must be billed or let go" in said


def test_a_void_of_what_waits_takes_it_back() -> None:
    ada = settled()
    arrives(ada, 5)
    tasks.settle_late_usage()
    key = UUID(bytes=event_key("test", "late"))
    void_events(keys=[key], reason="A test.", at=NOW, actor=SYSTEM)
    tasks.settle_late_usage()
    assert not LateUsage.objects.exists()
    assert AuditEntry.objects.filter(action="no longer late").count() == 1


def found() -> list[str]:
    """Audit late usage; return the checks that found something."""
    return [one.invariant.name for one in audit(at=NOW, names=LATE_CHECKS) if one.findings]


LATE_CHECKS = [invariant.name for invariant in LATE_BOOKS]


def _another_net() -> None:
    InvoiceLine.objects.filter(kind="late").update(net=7)


def _another_reading() -> None:
    UsageSnapshot.objects.filter(revision=2).update(quantity=116)


class TestTheAudit:
    @pytest.mark.unaudited
    @pytest.mark.parametrize(
        ("check", "corrupt"),
        [
            pytest.param("late_usage_is_what_its_rows_come_to", _another_net, id="an amount"),
            pytest.param(
                "settled_periods_are_billed_as_measured", _another_reading, id="a reading"
            ),
        ],
    )
    def test_it_finds_what_contradicts_the_bill(
        self, check: str, corrupt: Callable[[], None]
    ) -> None:
        ada = settled()
        arrives(ada, 5)
        october()
        assert found() == []
        unguarded()
        corrupt()
        assert found() == [check]

    def test_what_came_in_today_is_still_to_be_noted(self) -> None:
        arrives(settled(), 5, at(11, 2, 12))
        assert found() == []
