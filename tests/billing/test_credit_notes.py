"""Credit notes: what becomes of the money, what is billed later, and what is refused (R32, R35)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any
from uuid import UUID

import pytest

from billing.accounts import positions, statement_of
from billing.creditable import books_of
from billing.crediting import Asked, MoreThanCreditable, NothingToCredit
from billing.models import (
    Allocation,
    CreditNote,
    ExchangeRate,
    Invoice,
    InvoiceLine,
    OpenItem,
    Payment,
    Refund,
    WriteOff,
)
from billing.money import Moved
from billing.services import issuing, life
from billing.services.credit_notes import (
    CreditedMeanwhile,
    NotCreditable,
    draft_credit_note,
    issue_credit_note,
)
from billing.services.issuing import InvoiceCredited, void_invoice
from billing.services.life import When
from billing.services.write_offs import write_off
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.errors import Invalid, Refusal
from config.base.models import AuditEntry, Outbox
from customers.models import Customer, Issuer, Subscription
from metering.events import event_key
from metering.services import replace_event
from tests import factories as make
from tests.billing.crediting import NOV_20, credit, told
from tests.billing.months import close, contradictions, lines, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Customer:
    Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
    return make.customer("ada")


@pytest.fixture(autouse=True)
def _sound(db: None) -> Any:
    yield
    assert contradictions(datetime(2027, 1, 1, tzinfo=UTC), but=["periods_close_in_time"]) == []


def standing(invoice: Invoice) -> tuple[str | None, str]:
    found = Invoice.objects.with_payment().get(pk=invoice.pk)
    return found.payment_status, f"{found.open_item.open:.2f}"


def left(payment: Payment) -> str:
    return f"{Payment.objects.get(pk=payment.pk).available:.2f}"


def give_up(invoice: Invoice, amount: str) -> WriteOff:
    return write_off(
        invoice_id=invoice.pk, amount=D(amount), reason="Insolvent", at=NOV_20, actor=SYSTEM
    )


class TestTheDocument:
    def test_it_is_numbered_in_a_series_of_its_own_and_frozen_with_its_parties(
        self, ada: Customer
    ) -> None:
        one, two = make.issued(ada, "100"), make.issued(ada, "50")
        first, second = credit(one, "base 10"), credit(two)
        assert [first.number, second.number] == ["CN-2026-000001", "CN-2026-000002"]
        assert (first.issue_date, first.issued_by) == (date(2026, 11, 20), "plainbill")
        assert (first.seller["name"], first.buyer["key"]) == ("Your company", "ada")
        assert Outbox.objects.filter(kind="credit_note.render").count() == 2
        trail = AuditEntry.objects.filter(action__in=["issued", "credited"], note="Goodwill")
        assert list(trail.order_by("pk").values_list("subject_name", flat=True)) == [
            "CN-2026-000001", one.number, "CN-2026-000002", two.number,
        ]  # fmt: skip

    def test_its_series_is_the_issuers_and_its_date_never_before_the_invoice(
        self, ada: Customer
    ) -> None:
        Issuer.objects.update(series="AT")
        invoice = make.issued(ada, "100", on=date(2026, 12, 31))
        note = credit(invoice, at=datetime(2026, 12, 30, tzinfo=UTC))
        assert (note.number, note.issue_date) == ("CN-AT-2026-000001", date(2026, 12, 31))

    def test_a_draft_of_it_saves_nothing_and_comes_to_the_same(self, ada: Customer) -> None:
        invoice = Invoice.objects.with_lines().get(pk=make.issued(ada, "100").pk)
        drafted = draft_credit_note(invoice, at=NOV_20)
        assert not CreditNote.objects.exists()
        assert (drafted.note.number, drafted.note.issue_date) == ("", date(2026, 11, 20))
        assert told(drafted.note) == told(credit(invoice))

    def test_tax_in_the_issuers_currency_is_at_the_invoices_rate_and_adds_up(self) -> None:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19), currency="EUR")
        day = date(2026, 11, 1)
        ExchangeRate.objects.create(base="EUR", quote="USD", rate=D("1.07"), date=day, source="ECB")
        invoice = make.issued(make.customer("bob", currency="USD"), "100")
        ExchangeRate.objects.create(
            base="EUR", quote="USD", rate=2, date=date(2026, 11, 10), source="ECB"
        )
        stated = [credit(invoice, "base 33.33").tax_in_books for _ in range(2)]
        stated.append(credit(invoice).tax_in_books)
        assert {said["rate"] for said in stated} == {"1.07"}
        assert sum(D(said["amount"]) for said in stated) == D(invoice.tax_in_books["amount"])


class TestAllOfIt:
    def test_a_full_credit_is_the_whole_invoice_coupons_and_negative_lines_included(
        self, ada: Customer
    ) -> None:
        calls = make.graduated(make.metric("calls"), "rest @ 0.333", key="calls")
        version = make.published(make.flat("base", "99.99"), calls)
        sold = make.subscription(ada, version, starts_on=date(2026, 11, 1))
        make.applied_coupon(sold, make.coupon(percent=D(33), duration="forever"))
        use(sold, datetime(2026, 11, 10, tzinfo=UTC), calls=377)
        close(datetime(2026, 11, 1, 1, tzinfo=UTC))
        close(datetime(2026, 11, 3, tzinfo=UTC))
        life.cancel(
            subscription_id=sold.pk,
            when=When("immediate"),
            at=datetime(2026, 11, 10, 12, tzinfo=UTC),
            actor=SYSTEM,
        )
        opening, last = close(datetime(2026, 11, 12, tzinfo=UTC))[:2]
        issuing.issue_invoices(
            invoice_ids=[last.pk], as_of=datetime(2026, 11, 12, tzinfo=UTC), actor=SYSTEM
        )
        last.refresh_from_db()
        assert any(net.startswith("-") for _, net in lines(last))
        rest = credit(opening)  # its fee was credited in part by the other invoice
        assert rest.net_total < opening.net_total
        note = credit(last)
        assert (note.net_total, note.tax_total, note.total) == (
            last.net_total, last.tax_total, last.total,
        )  # fmt: skip
        assert standing(last) == ("paid", "0.00")

    def test_in_parts_it_is_the_whole_invoice_too(self, ada: Customer) -> None:
        invoice = make.issued(ada, "10.01")
        notes = [credit(invoice, "base 3.33"), credit(invoice, "base 3.33"), credit(invoice)]
        assert sum(note.total for note in notes) == invoice.total == D("11.91")
        assert [note.tax_total for note in notes] == [D("0.63"), D("0.64"), D("0.63")]
        assert invoice.open_item.__class__.objects.get(pk=invoice.pk).open == 0


class TestTheMoney:
    @pytest.mark.parametrize(
        ("paid", "given_up", "amount", "uses", "status"),
        [
            pytest.param("0", "0", "20", {"off_open": "23.80"}, ("unpaid", "95.20"),
                         id="what is open is less"),
            pytest.param("60", "0", "50", {"off_open": "59.00", "to_balance": "0.50"},
                         ("overpaid", "0.00"), id="what is paid beyond it comes free"),
            pytest.param("119", "0", "100", {"to_balance": "119.00"}, ("paid", "0.00"),
                         id="all that was paid comes free"),
            pytest.param("0", "30", "100", {"off_open": "89.00", "off_written_off": "30.00"},
                         ("paid", "0.00"), id="a write-off is taken back"),
            pytest.param("60", "59", "10", {"off_written_off": "11.90"}, ("part_paid", "0.00"),
                         id="a write-off is taken back in part"),
            pytest.param("60", "59", "60", {"off_written_off": "59.00", "to_balance": "12.40"},
                         ("overpaid", "0.00"), id="and then what was paid"),
        ],
    )  # fmt: skip
    def test_first_what_is_open_then_what_was_written_off_then_what_was_paid(
        self, ada: Customer, paid: str, given_up: str, amount: str, uses: dict[str, str],
        status: tuple[str, str],
    ) -> None:  # fmt: skip
        invoice = make.issued(ada, "100")
        if paid != "0":
            make.payment(ada, paid, portions={invoice: paid}, at=NOV_20)
        if given_up != "0":
            give_up(invoice, given_up)
        note = credit(invoice, f"base {amount}")
        assert {name: value for name, value in told(note).items() if "total" not in name} == uses
        assert standing(invoice) == status

    def test_what_deposits_paid_is_left_of_them_again_and_the_newest_money_comes_free_first(
        self, ada: Customer
    ) -> None:
        deposit = make.payment(ada, "500", kind="deposit", max_per_invoice=D(50))
        balance = make.payment(ada, "30")
        invoice = make.issued(ada, "100")
        later = make.payment(ada, "39", portions={invoice: "39"}, at=NOV_20)
        note = credit(invoice, "base 50")
        assert told(note)["to_balance"] == "39.00"
        assert told(note)["to_deposits"] == "20.50"
        assert (left(later), left(deposit), left(balance)) == ("39.00", "470.50", "0.00")
        kept = Allocation.objects.get(payment=deposit, released_on=None)
        assert (kept.amount, kept.at_issue) == (D("29.50"), False)

    def test_the_document_of_the_invoice_still_says_what_it_took(self, ada: Customer) -> None:
        make.payment(ada, "30")
        invoice = make.issued(ada, "100")
        credit(invoice)
        taken = Allocation.objects.filter(item=invoice.pk, at_issue=True)
        assert [one.amount for one in taken] == [D(30)]

    def test_what_comes_free_is_paid_back_if_chosen_but_for_deposits(self, ada: Customer) -> None:
        deposit = make.payment(ada, "20", kind="deposit")
        invoice = make.issued(ada, "100")
        paid = make.payment(ada, "99", portions={invoice: "99"}, at=NOV_20)
        note = credit(invoice, refund=True)
        assert told(note) | {"net_total": "", "tax_total": ""} == {
            "net_total": "", "tax_total": "", "total": "119.00", "refunded": "99.00",
            "to_deposits": "20.00",
        }  # fmt: skip
        refund = Refund.objects.get()
        assert (refund.payment, refund.amount, refund.reference) == (paid, D(99), note.number)
        assert (left(paid), left(deposit)) == ("0.00", "20.00")

    def test_the_next_invoice_takes_what_came_free(self, ada: Customer) -> None:
        invoice = make.issued(ada, "100")
        make.payment(ada, "119", portions={invoice: "119"}, at=NOV_20)
        credit(invoice, "base 50")
        following = make.issued(ada, "100", on=date(2026, 11, 21))
        assert standing(following) == ("part_paid", "59.50")
        assert following.open_item.balance_before == D("59.50")

    def test_the_account_ties_out_on_every_day(self, ada: Customer) -> None:
        invoice = make.issued(ada, "100")
        make.payment(ada, "60", portions={invoice: "60"}, at=datetime(2026, 11, 5, tzinfo=UTC))
        give_up(invoice, "10")
        credit(invoice, "base 70")
        credit(invoice, at=datetime(2026, 11, 25, tzinfo=UTC), refund=True)
        for day, owed in ((1, "119.00"), (5, "59.00"), (20, "-24.30"), (25, "-24.30")):
            until = date(2026, 11, day)
            account = statement_of(ada, "EUR", until=until)
            found = positions(as_of=until).get((ada.pk, "EUR"))
            assert f"{account.closing:.2f}" == owed
            assert account.closing == (found.total if found else 0)
        moved = [row.entry.moved for row in statement_of(ada, "EUR", until=date(2026, 11, 30)).rows]
        assert moved.count(Moved.CREDIT_NOTE) == 2


def of_a_void(ada: Customer) -> None:
    invoice = make.issued(ada)
    void_invoice(invoice_id=invoice.pk, reason="x", reopen=False, at=NOV_20, actor=SYSTEM)
    credit(invoice)


def of_a_discarded(ada: Customer) -> None:
    invoice = draft_of(ada)
    issuing.discard_invoice(
        invoice_id=invoice.pk, reason="x", reopen=False, at=NOV_20, actor=SYSTEM
    )
    credit(invoice)


def draft_of(ada: Customer) -> Invoice:
    Customer.objects.update(manual_approval=True)
    make.subscription(ada, make.published(make.flat()))
    [draft] = close(datetime(2026, 11, 1, 1, tzinfo=UTC))
    return draft


def twice(ada: Customer) -> None:
    invoice = make.issued(ada)
    credit(invoice)
    credit(invoice)


def more_than_the_rest(ada: Customer) -> None:
    invoice = make.issued(ada, "100")
    credit(invoice, "base 60")
    credit(invoice, "base 40.01")


def after_somebody_else(ada: Customer) -> None:
    invoice = make.issued(ada, "100")
    credit(invoice, "base 10")
    credit(invoice, "base 10", seen=D(0))


def void_though_credited(ada: Customer) -> None:
    invoice = make.issued(ada)
    credit(invoice, "base 1")
    void_invoice(invoice_id=invoice.pk, reason="x", reopen=False, at=NOV_20, actor=SYSTEM)


def one_more_of_a_line(ada: Customer) -> None:
    invoice = make.issued(ada, "100")
    credit(invoice, "base ×1")
    credit(invoice, "base ×1")


def an_invoice_over_nothing(ada: Customer) -> None:
    credit(make.issued(ada, "0"))


@pytest.mark.parametrize(
    ("act", "refusal", "said"),
    [
        (lambda ada: credit(draft_of(ada)), NotCreditable, "not issued yet"),
        (of_a_void, NotCreditable, "is void"),
        (of_a_discarded, NotCreditable, "was discarded"),
        (twice, NothingToCredit, "Nothing is left"),
        (more_than_the_rest, MoreThanCreditable, "40.00 EUR is left"),
        (one_more_of_a_line, MoreThanCreditable, "Nothing of “Base” is left to credit"),
        (after_somebody_else, CreditedMeanwhile, "after you looked"),
        (void_though_credited, InvoiceCredited, "CN-2026-000001 credits some"),
        (an_invoice_over_nothing, NothingToCredit, "Nothing is left"),
    ],
)
def test_it_is_refused_by_name(
    ada: Customer, act: Callable[[Customer], Any], refusal: type[Refusal], said: str
) -> None:
    with pytest.raises(refusal, match=said):
        act(ada)


def test_it_needs_a_reason(ada: Customer) -> None:
    with pytest.raises(Invalid):
        credit(make.issued(ada), reason=" ")
    assert not CreditNote.objects.exists()


def test_what_is_refused_leaves_nothing_behind(ada: Customer) -> None:
    invoice = make.issued(ada, "100")
    line = invoice.lines.get()
    with pytest.raises(MoreThanCreditable):
        issue_credit_note(
            invoice_id=invoice.pk,
            asked=[Asked(line.pk, D("100.01"))],
            reason="x",
            at=NOV_20,
            actor=SYSTEM,
        )
    assert OpenItem.objects.get(pk=invoice.pk).credited == 0
    assert credit(invoice).number == "CN-2026-000001"


# What is billed later by itself


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture
def plan() -> PlanVersion:
    """30 a month in advance, and 1 a call above 100 included."""
    return make.published(
        make.flat("base", "30"),
        make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100)),
    )


@pytest.fixture
def september(ada: Customer, plan: PlanVersion) -> Invoice:
    """150 calls in September: 50.00, beside October's fee of 30.00."""
    sold = make.subscription(ada, plan, key="ada", starts_on=date(2026, 9, 1))
    use(sold, at(9, 10), calls=150, id="first")
    return close(at(10, 2, 1))[-1]


def late(calls: int) -> None:
    sold = Subscription.objects.get()
    use(sold, at(9, 15), received_at=at(10, 10), calls=calls)


def less(calls: int) -> None:
    key = UUID(bytes=event_key("test", "first"))
    replace_event(key=key, data={"calls": calls}, reason="Wrong.", at=at(10, 12), actor=SYSTEM)


def settled() -> list[str]:
    """Close October and return what its invoice settles of September."""
    october = close(at(11, 2, 1))[-1]
    return [f"{line.net:.2f}" for line in october.lines.all() if line.kind == "late"]


class TestLateUsage:
    @pytest.mark.parametrize(
        ("credited", "happens", "charged"),
        [
            pytest.param("20", lambda: None, [], id="goodwill is not billed again"),
            pytest.param("20", lambda: late(5), ["5.00"], id="nor with what comes late"),
            pytest.param("20", lambda: less(140), ["0.00"], id="10 less was credited already"),
            pytest.param("20", lambda: less(125), ["-5.00"], id="25 less: 5 more than was"),
            pytest.param("50", lambda: less(0), ["0.00"], id="all was credited already"),
            pytest.param("", lambda: less(120), ["-30.00"], id="nothing was"),
        ],
    )
    def test_a_credit_note_is_neither_billed_again_nor_credited_once_more(
        self, september: Invoice, credited: str, happens: Callable[[], None], charged: list[str]
    ) -> None:
        if credited:
            credit(september, f"calls {credited}", at=at(10, 5))
        happens()
        assert settled() == charged

    def test_usage_that_was_credited_since_is_not_credited_once_more(
        self, september: Invoice
    ) -> None:
        less(120)
        assert settled() == ["-30.00"]
        september = Invoice.objects.with_lines().get(pk=september.pk)
        usage = september.lines.get(kind="usage")
        assert books_of([september])[september.pk].line(usage.pk)
        with pytest.raises(MoreThanCreditable, match="20.00 EUR is left"):
            credit(september, "calls 20.01", at=at(11, 5))
        assert credit(september, at=at(11, 5)).net_total == D("50.00")


class TestUnusedFees:
    def cancel(self, day: int) -> list[str]:
        [sold] = Subscription.objects.all()
        life.cancel(
            subscription_id=sold.pk, when=When("immediate"), at=at(10, day, 12), actor=SYSTEM
        )
        last = close(at(10, day + 2, 1))[-1]
        return [f"{line.net:.2f}" for line in last.lines.all() if line.kind == "credit"]

    def test_what_a_note_took_of_a_fee_is_not_credited_again(self, september: Invoice) -> None:
        use(Subscription.objects.get(), at(10, 3), calls=200)
        credit(september, "base 30", at=at(10, 5))
        assert self.cancel(15) == []

    def test_what_a_note_took_counts_as_credited_of_what_is_unused(
        self, september: Invoice
    ) -> None:
        use(Subscription.objects.get(), at(10, 3), calls=200)
        credit(september, "base 14.50", at=at(10, 5))
        assert self.cancel(15) == ["-0.98"]  # 30.00 × 16/31 − 14.50

    def test_a_fee_that_was_credited_since_is_not_credited_once_more(
        self, september: Invoice
    ) -> None:
        use(Subscription.objects.get(), at(10, 3), calls=200)
        assert self.cancel(15) == ["-15.48"]
        with pytest.raises(MoreThanCreditable, match="14.52 EUR is left"):
            credit(september, "base 14.53", at=at(10, 20))
        assert credit(september, "base 14.52", at=at(10, 20)).net_total == D("14.52")


def test_what_is_left_is_asked_with_as_many_queries_for_many(
    ada: Customer, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        credit(make.issued(ada, "100"), "base 10")
    invoices = list(Invoice.objects.with_lines())
    with django_assert_num_queries(3):
        books = books_of(invoices)
    assert {f"{book.left:.2f}" for book in books.values()} == {"107.10"}
    assert InvoiceLine.objects.count() == 3
