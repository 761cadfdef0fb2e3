"""Invoices in the admin: read by Sam, prepared by Anna, issued and voided by Leo, hidden from others."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing import typesetting
from billing.models import BillingPeriod, DocumentSequence, Invoice
from billing.services import issuing
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.models import AuditEntry
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, use
from tests.staff import anna, dora, leo, page, person, queries, said, sam, stranger

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
LIST = "/admin/billing/invoice/"


@pytest.fixture(autouse=True)
def _on_the_first_of_december() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def plan() -> PlanVersion:
    """10 a month in advance, and 1 a call above 100 included."""
    return make.published(
        make.flat("base", "10"),
        make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100)),
    )


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    """Waits for a person to issue what it owes; used 142 calls in November."""
    buyer = make.customer("ada", name="Ada Works", vat_id="DE136695976", manual_approval=True)
    subscription = make.subscription(buyer, plan, key="ada", starts_on=date(2026, 11, 1))
    use(subscription, datetime(2026, 11, 5, tzinfo=UTC), calls=142)
    return subscription


@pytest.fixture
def drafts(ada: Subscription) -> list[Invoice]:
    """The first fee of November, and November's usage with December's fee."""
    return close(NOW)


def issued(invoice: Invoice) -> Invoice:
    [done] = issuing.issue_invoices(invoice_ids=[invoice.pk], as_of=NOW, actor=SYSTEM)
    return done


def change(invoice: Invoice) -> str:
    return page("billing_invoice", "change", invoice.pk)


def step(name: str) -> str:
    return page("billing_invoice", "step", name)


def ask(client: Client, name: str, *invoices: Invoice) -> str:
    return said(client.get(step(name), {"ids": ",".join(str(one.pk) for one in invoices)}))


def do(client: Client, name: str, *invoices: Invoice, **answers: str) -> Any:
    ids = ",".join(str(one.pk) for one in invoices)
    return client.post(step(name), {"ids": ids, **answers}, follow=True)


def statuses(*invoices: Invoice) -> list[str]:
    return [Invoice.objects.get(pk=one.pk).status for one in invoices]


# Reading


def test_sam_finds_invoices_by_number_customer_key_and_vat_id(drafts: list[Invoice]) -> None:
    number = str(issued(drafts[0]).number)
    client = sam()
    found = (number, number.lower(), "Ada Works", '"ada works"', f"works {number}", "DE136695976")
    for words in (*found, "ada", '"'):
        assert "Ada Works" in said(client.get(LIST, {"q": words}))
    for words in ("brenner", "ada brenner", '"works ada"'):
        assert "Nothing matches" in said(client.get(LIST, {"q": words})), words


def test_the_list_says_what_each_invoice_comes_to(drafts: list[Invoice]) -> None:
    words = said(sam().get(LIST))
    assert (
        f"Draft {drafts[1].uuid.hex[:4].upper()} Ada Works Draft Period 1–30 Nov 2026 52.00 0.00 52.00 EUR"
        in words
    )


def test_the_list_filters(drafts: list[Invoice]) -> None:
    issued(drafts[0])
    client = sam()
    assert "1 invoice" in said(client.get(LIST, {"status__exact": "issued"}))
    assert "2 invoices" in said(client.get(LIST, {"currency": "EUR"}))
    assert "2 invoices" in said(client.get(LIST, {"run__id__exact": str(drafts[0].run_id)}))
    dates = {"issue_date_from": "2026-12-02", "issue_date_to": "2026-12-31"}
    assert "Nothing matches" in said(client.get(LIST, dates))


def test_the_list_asks_as_much_for_3_as_for_30(plan: PlanVersion) -> None:
    client = sam()

    def bill(count: int) -> None:
        for _ in range(count):
            buyer = make.customer(manual_approval=True)
            make.subscription(buyer, plan, starts_on=date(2026, 12, 1))
        close(NOW)

    bill(3)
    few = queries(lambda: client.get(LIST))
    bill(27)
    assert Invoice.objects.count() == 30
    assert queries(lambda: client.get(LIST)) == few


def test_the_page_shows_the_invoice_as_it_prints(drafts: list[Invoice]) -> None:
    words = said(sam().get(change(drafts[1])))
    assert "Draft for checking" in words or "DRAFT" in words
    assert "Calls 1–30 Nov 2026 142 calls" in words
    assert "Included in your plan 100 0.00 0.00" in words
    assert "42 1.00 42.00" in words
    assert "Net total 52.00" in words
    assert "What was measured" in words
    assert "142 calls 1 5 Nov 2026, 00:00 UTC" in words


def test_the_page_asks_as_much_for_1_line_as_for_12() -> None:
    def drafted(count: int) -> Invoice:
        fees = [make.flat(f"fee{n}", "10") for n in range(count)]
        make.subscription(make.customer(manual_approval=True), make.published(*fees))
        return close(datetime(2026, 11, 2, tzinfo=UTC))[-1]

    client, one, twelve = sam(), drafted(1), drafted(12)
    assert twelve.lines.count() == 12
    client.get(change(one))  # the first page after a start also reads content types
    assert queries(lambda: client.get(change(twelve))) == queries(lambda: client.get(change(one)))


def test_another_language_can_be_read_in_english(plan: PlanVersion) -> None:
    buyer = make.customer("emil", locale="de-DE", manual_approval=True)
    make.subscription(buyer, plan)
    invoice = close(NOW)[0]
    client = sam()
    assert "Rechnungsentwurf" in said(client.get(change(invoice)))
    assert "Draft invoice" in said(client.get(change(invoice), {"language": "en"}))


def test_a_draft_says_that_usage_has_arrived_since(
    ada: Subscription, drafts: list[Invoice]
) -> None:
    client = anna()
    assert "Usage has changed" not in said(client.get(change(drafts[1])))
    use(ada, datetime(2026, 11, 9, tzinfo=UTC), calls=8)
    words = said(client.get(change(drafts[1])))
    assert "Calls: 150 now, 142 in this draft (1 event more)." in words
    assert step("recalculate") in client.get(change(drafts[1])).content.decode()


def test_an_issued_invoice_offers_no_recalculation(
    ada: Subscription, drafts: list[Invoice]
) -> None:
    invoice = issued(drafts[1])
    use(ada, datetime(2026, 11, 9, tzinfo=UTC), calls=8)
    words = said(leo().get(change(invoice)))
    assert "Usage has changed" not in words
    assert "Recalculate" not in words
    assert "Void…" in words


def test_nothing_is_added_edited_or_deleted(drafts: list[Invoice]) -> None:
    client = person("root", is_superuser=True)
    assert client.get(page("billing_invoice", "add")).status_code == 403
    assert client.post(change(drafts[0]), {"total": "1"}).status_code == 403
    assert client.post(page("billing_invoice", "delete", drafts[0].pk)).status_code == 403


# The PDF


def test_the_pdf_is_one_click_away(drafts: list[Invoice], monkeypatch: Any) -> None:
    monkeypatch.setattr("billing.documents.pdf_of", lambda invoice: b"%PDF-1.7")
    url = page("billing_invoice", "pdf", drafts[0].pk)
    client = sam()
    assert url in client.get(change(drafts[0])).content.decode()
    response = client.get(url)
    assert (response.content, response["Content-Type"]) == (b"%PDF-1.7", "application/pdf")
    assert response["Content-Disposition"].startswith("inline")


def test_without_pango_the_page_says_what_to_install(
    drafts: list[Invoice], monkeypatch: Any
) -> None:
    def missing(invoice: Invoice) -> bytes:
        raise typesetting.PdfEngineMissing("apt-get install libpangoft2-1.0-0")

    monkeypatch.setattr("billing.documents.pdf_of", missing)
    response = sam().get(page("billing_invoice", "pdf", drafts[0].pk), follow=True)
    assert "apt-get install libpangoft2-1.0-0" in said(response)


# Issuing


def test_leo_sees_the_numbers_before_he_issues(drafts: list[Invoice]) -> None:
    words = ask(leo(), "issue", *drafts)
    assert (
        "2 invoices of Your company get the numbers INV-2026-000001 to INV-2026-000002, "
        "dated 1 Dec 2026."
    ) in words
    assert "In all 62.00 EUR, tax included." in words
    assert statuses(*drafts) == ["draft", "draft"]
    assert not DocumentSequence.objects.exists()


def test_leo_issues_and_is_told_what_was_refused(drafts: list[Invoice]) -> None:
    first = issued(drafts[0])
    client = leo()
    assert "INV-2026-000001 (Ada Works) is issued already." in ask(client, "issue", *drafts)
    words = said(do(client, "issue", *drafts))
    assert "Issued INV-2026-000002: 52.00 EUR." in words
    assert "INV-2026-000001 (Ada Works) is issued already." in words
    assert statuses(first, drafts[1]) == ["issued", "issued"]
    entry = AuditEntry.objects.get(subject_id=drafts[1].pk, action="issued")
    assert entry.actor_name == "leo"


def test_many_are_issued_from_the_list(drafts: list[Invoice]) -> None:
    client = leo()
    chosen = {"action": "issue", "_selected_action": [one.pk for one in drafts]}
    words = said(client.post(LIST, chosen))
    assert "Issue 2 invoices?" in words
    assert statuses(*drafts) == ["draft", "draft"]
    assert "Issued 2 invoices, INV-2026-000001 to INV-2026-000002" in said(
        do(client, "issue", *drafts)
    )


def test_one_refused_in_the_meantime_leaves_the_others_issued(
    drafts: list[Invoice], monkeypatch: Any
) -> None:
    """Between the look and the click, somebody else issues one: the page's own check is late."""
    issued(drafts[0])
    monkeypatch.setattr("billing.admin.steps.Issue.check", lambda self, invoice, at: None)
    words = said(do(leo(), "issue", *drafts))
    assert "Issued INV-2026-000002" in words
    assert "is issued already" in words


# Holding, releasing, recalculating


def test_anna_holds_and_releases(drafts: list[Invoice]) -> None:
    client = anna()
    assert "not issued by itself any more" in ask(client, "hold", drafts[0])
    do(client, "hold", drafts[0])
    assert statuses(drafts[0]) == ["review"]
    assert "is in review, not a draft." in ask(client, "hold", drafts[0])
    do(client, "release", drafts[0])
    assert statuses(drafts[0]) == ["draft"]


def test_anna_sees_totals_before_and_after_recalculating(
    ada: Subscription, drafts: list[Invoice]
) -> None:
    use(ada, datetime(2026, 11, 9, tzinfo=UTC), calls=8)
    client = anna()
    words = ask(client, "recalculate", *drafts)
    assert "1 of 2 would change in total." in words
    assert "52.00 EUR 60.00 EUR" in words
    assert "10.00 EUR unchanged" in words
    assert Invoice.objects.get(pk=drafts[1].pk).total == D(52)
    do(client, "recalculate", *drafts)
    assert Invoice.objects.get(pk=drafts[1].pk).total == D(60)


# Discarding and voiding


def test_anna_discards_with_a_reason_to_bill_anew(drafts: list[Invoice]) -> None:
    client = anna()
    assert "52.00 EUR, tax included, is not charged" in ask(client, "discard", drafts[1])
    assert "Say why" in said(do(client, "discard", drafts[1], reason="  "))
    assert "Control characters" in said(do(client, "discard", drafts[1], reason="a\u202eb"))
    assert statuses(drafts[1]) == ["draft"]
    do(client, "discard", drafts[1], reason="Wrong\r\nplan", then="anew")
    assert statuses(drafts[1]) == ["discarded"]
    assert BillingPeriod.objects.get(number=0).status == "open"


def test_only_leo_waives(drafts: list[Invoice]) -> None:
    assert "Waiving the amounts is for a Finance lead." in ask(anna(), "discard", drafts[1])
    helper = person("helper", "Finance")
    assert do(helper, "discard", drafts[1], reason="Gift", then="waive").status_code == 403
    assert statuses(drafts[1]) == ["draft"]
    do(leo(), "discard", drafts[1], reason="Gift", then="waive")
    assert BillingPeriod.objects.get(number=0).status == "waived"
    entry = AuditEntry.objects.get(subject_id=drafts[1].pk, action="discarded and waived")
    assert (entry.note, entry.changes["total"][0]) == ("Gift", "52.0000")


def test_leo_voids_within_the_month_only(drafts: list[Invoice]) -> None:
    invoice = issued(drafts[1])
    with time_machine.travel(datetime(2027, 1, 1, 12, tzinfo=UTC)):
        client = person("late", "Finance lead")
        assert "correct it with a credit note" in ask(client, "void", invoice)
        do(client, "void", invoice, reason="Wrong", then="anew")
        assert statuses(invoice) == ["issued"]
    do(leo(), "void", invoice, reason="Wrong address", then="anew")
    assert statuses(invoice) == ["void"]
    entry = AuditEntry.objects.get(subject_id=invoice.pk, action="voided, to be billed anew")
    assert entry.note == "Wrong address"


def test_the_page_tells_what_happened(drafts: list[Invoice]) -> None:
    do(anna(), "hold", drafts[0])
    assert "Held for review by anna 1 Dec 2026, 09:00 UTC" in said(sam().get(change(drafts[0])))


# Who may what

STEPS = ("issue", "hold", "release", "recalculate", "discard", "void")


@pytest.mark.parametrize(
    ("who", "may"),
    [
        pytest.param(leo, set(STEPS), id="Leo the lead may everything"),
        pytest.param(
            anna, {"hold", "release", "recalculate", "discard"}, id="Anna of Finance prepares"
        ),
        pytest.param(sam, set(), id="Sam of Support reads"),
        pytest.param(dora, set(), id="Dora the developer sees no invoice"),
        pytest.param(stranger, set(), id="a stranger sees nothing"),
    ],
)
def test_who_may_do_what(who: Any, may: set[str], drafts: list[Invoice]) -> None:
    client = who()
    for name in STEPS:
        expected = 200 if name in may else 403
        assert client.get(step(name), {"ids": drafts[0].pk}).status_code == expected, name
        if name not in may:
            assert client.post(step(name), {"ids": drafts[0].pk}).status_code == 403
    assert statuses(*drafts) == ["draft", "draft"]


@pytest.mark.parametrize("who", [stranger, dora])
def test_others_see_no_invoice(who: Any, drafts: list[Invoice]) -> None:
    client = who()
    for url in (LIST, change(drafts[0]), page("billing_invoice", "pdf", drafts[0].pk)):
        assert client.get(url).status_code == 403
    assert "Invoices" not in said(client.get("/admin/"))


def test_nobody_signed_in_is_sent_to_the_door(drafts: list[Invoice]) -> None:
    for url in (LIST, step("issue"), page("billing_invoice", "pdf", drafts[0].pk)):
        assert Client().get(url).status_code == 302


def test_a_page_of_somebody_elses_can_do_nothing(drafts: list[Invoice]) -> None:
    signed_in = leo()
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = signed_in.cookies
    assert careful.post(step("issue"), {"ids": drafts[0].pk}).status_code == 403
    assert statuses(drafts[0]) == ["draft"]


def test_looking_changes_nothing(drafts: list[Invoice]) -> None:
    client = leo()
    before = (list(Invoice.objects.values()), AuditEntry.objects.count())
    for name in STEPS:
        ask(client, name, *drafts)
    client.get(change(drafts[0]))
    assert (list(Invoice.objects.values()), AuditEntry.objects.count()) == before


@pytest.mark.parametrize("ids", ["", "x", "99999999999999999999999", "-1", "0"])
def test_a_step_without_invoices_goes_back_to_the_list(ids: str, db: None) -> None:
    response = leo().post(step("issue"), {"ids": ids}, follow=True)
    assert "Choose the invoices first." in said(response)


def test_there_is_no_other_step(db: None) -> None:
    assert leo().get(step("burn")).status_code == 404
