"""Plans whose prices include tax, from the draft to the books (R29): the total is what is advertised."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
from django.db import transaction

from billing.books import BOOKS
from billing.models import ExchangeRate, Invoice, InvoiceLine, MoveWhen, TaxRate, TaxSubtotal
from billing.services import closing, life, moving
from billing.services.changing import When
from billing.services.exchange_rates import add_exchange_rate
from billing.services.issuing import issue_invoices
from catalog.models import PlanVersion
from catalog.money import exponent, plain, round_half_up
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.invariants import audit
from customers.models import Customer, Issuer, Subscription
from tests import factories as make
from tests.billing.months import close, contradictions, use

pytestmark = pytest.mark.django_db

NOV, DEC = date(2026, 11, 1), date(2026, 12, 1)
DRAFT = {"invoice__status": "draft"}


def at(month: int, day: int, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def seller() -> Issuer:
    """Sells from Germany, where 19 % and 7 % are due; France takes 20 %."""
    rates = [("DE", "standard", 19), ("DE", "reduced", 7), ("FR", "standard", 20)]
    for country, category, percent in rates:
        TaxRate.objects.create(
            country=country, category=category, percent=percent, valid_from=date(2020, 1, 1)
        )
    issuer = Issuer.objects.get()
    issuer.country, issuer.vat_id, issuer.tax_status = "DE", "DE136695976", "standard"
    issuer.standard_tax_rate = D(19)
    issuer.save()
    return issuer


def consumer(**fields: Any) -> Customer:
    return make.customer(**{"country": "DE", **fields})


def version(*prices: Any, **terms: Any) -> PlanVersion:
    """A fee of 19.99 in advance and calls at 0.05 each, 100 included: with tax."""
    own = prices or (
        make.flat(amount="19.99"),
        make.graduated(make.metric("calls"), "rest @ 0.05", key="calls", included_quantity=D(100)),
    )
    return make.published(*own, **{"prices_include_tax": True, **terms})


class Undone(Exception):
    """What was planted is gone again."""


def told(invoice: Invoice) -> str:
    """Give each line's price and net, what coupons take off both, each tax, and the totals."""
    places = exponent(invoice.currency)

    def said(*amounts: D | None) -> str:
        return " ".join("-" if one is None else f"{round_half_up(one, places)}" for one in amounts)

    rows = [said(one.gross, one.net) for one in invoice.lines.all()]
    rows += [f"off {said(one.gross, one.amount)}" for one in invoice.allowances.all()]
    rows += [
        f"{one.category}{plain(one.rate)} {said(one.base, one.amount)}"
        for one in invoice.taxes.all()
    ]
    return "; ".join([*rows, said(invoice.net_total, invoice.tax_total, invoice.total)])


def issue(invoice: Invoice, when: datetime) -> Invoice:
    issue_invoices(invoice_ids=[invoice.pk], as_of=when, actor=SYSTEM)
    return Invoice.objects.with_lines().get(pk=invoice.pk)


def subscribed(buyer: Customer | None = None, *prices: Any, **terms: Any) -> Subscription:
    """Under prices with tax since November, whose first fee is billed."""
    subscription = make.subscription(buyer or consumer(), version(*prices, **terms), starts_on=NOV)
    for invoice in close(at(11, 1)):
        if invoice.is_open:
            issue(invoice, at(11, 1))
    return subscription


def used(subscription: Subscription, calls: int, when: datetime | None = None) -> None:
    use(subscription, when or at(11, 9), calls=calls)


def december(buyer: Customer | None = None, *prices: Any, **terms: Any) -> Invoice:
    """The fee of December, and 187 calls above what November includes: 9.35."""
    subscription = subscribed(buyer, *prices, **terms)
    if not prices:
        used(subscription, 287)
    return close(at(12, 1))[-1]


@pytest.fixture(autouse=True)
def nothing_contradicts() -> Any:
    yield
    assert contradictions(at(12, 5), but=["periods_close_in_time"]) == []  # no worker runs here


class TestWhatIsBilled:
    @pytest.mark.parametrize(
        ("buyer", "expected"),
        [
            pytest.param(
                {"country": "DE"},
                "19.99 16.80; 9.35 7.86; S19 24.66 4.68; 24.66 4.68 29.34",
                id="at home, 19 % are taken out",
            ),
            pytest.param(
                {"country": "DE", "vat_id": "DE129273398"},
                "19.99 16.80; 9.35 7.86; S19 24.66 4.68; 24.66 4.68 29.34",
                id="a business at home pays the same",
            ),
            pytest.param(
                {"country": "FR", "vat_id": "FR40303265045"},
                "19.99 19.99; 9.35 9.35; AE0 29.34 0.00; 29.34 0.00 29.34",
                id="under reverse charge the price stays, and no tax is in it",
            ),
            pytest.param(
                {"country": "US"},
                "19.99 19.99; 9.35 9.35; O0 29.34 0.00; 29.34 0.00 29.34",
                id="out of scope too",
            ),
            pytest.param(
                {"country": "DE", "tax_status": "exempt", "tax_reason": "Embassy"},
                "19.99 19.99; 9.35 9.35; E0 29.34 0.00; 29.34 0.00 29.34",
                id="and exempt",
            ),
        ],
    )
    def test_the_total_is_the_advertised_price(self, buyer: dict[str, str], expected: str) -> None:
        assert told(december(make.customer(**buyer))) == expected

    def test_a_consumer_abroad_pays_the_same_with_the_rate_there(self, seller: Issuer) -> None:
        seller.uses_oss = True
        seller.save()
        invoice = december(consumer(country="FR"))
        assert told(invoice) == "19.99 16.66; 9.35 7.79; S20 24.45 4.89; 24.45 4.89 29.34"

    def test_each_rate_for_itself(self) -> None:
        book = make.flat("book", "9.99", tax_category="reduced")
        invoice = december(None, make.flat(amount="19.99"), book)
        assert (
            told(invoice)
            == "19.99 16.80; 9.99 9.34; S19 16.80 3.19; S7 9.34 0.65; 26.14 3.84 29.98"
        )

    @pytest.mark.parametrize(
        ("currency", "fee", "expected"),
        [
            ("JPY", "980", "980 824; S19 824 156; 824 156 980"),
            ("KWD", "1.005", "1.005 0.845; S19 0.845 0.160; 0.845 0.160 1.005"),
        ],
    )
    def test_currencies_of_other_decimals(self, currency: str, fee: str, expected: str) -> None:
        add_exchange_rate(
            rate=ExchangeRate(
                base="EUR", quote=currency, rate=D(160), date=date(2026, 10, 1), source="ECB"
            ),
            actor=SYSTEM,
        )
        buyer = consumer(currency=currency)
        assert told(december(buyer, make.flat(amount=fee), currency=currency)) == expected

    def test_a_coupon_takes_off_the_price_with_tax(self) -> None:
        subscription = subscribed()
        coupon = make.coupon("five", amount=D(5), duration="until_used_up")
        make.applied_coupon(subscription, coupon, starts_on=DEC)
        used(subscription, 287)
        invoice = close(at(12, 1))[-1]
        assert (
            told(invoice)
            == "19.99 16.79; 9.35 7.86; off 5.00 4.20; S19 20.45 3.89; 20.45 3.89 24.34"
        )
        [allowance] = invoice.allowances.all()
        assert allowance.shares == [
            {"line": 1, "amount": "2.86", "gross": "3.41"},
            {"line": 2, "amount": "1.34", "gross": "1.59"},
        ]
        issue(invoice, at(12, 1))
        assert "off" not in told(close(at(1, 1, year=2027))[-1])  # 5.00 with tax is all it is worth

    def test_the_commitment_is_reached_with_tax(self) -> None:
        used(subscribed(minimum_commitment=D(40)), 287)
        invoice = close(at(12, 1))[-1]  # 19.99 billed before + 9.35 + 10.66 = 40.00
        assert told(invoice) == (
            "19.99 16.80; 9.35 7.85; 10.66 8.96; S19 33.61 6.39; 33.61 6.39 40.00"
        )

    def test_an_add_on_is_priced_like_the_plan(self) -> None:
        subscription = subscribed()
        make.sold_add_on(subscription, make.add_on(unit_amount=D("49.90")))
        make.sold_add_on(subscription, make.add_on(unit_amount=D("10")), bill="at_once")
        alone, together = close(at(12, 1))[-2:]
        found = {told(alone), told(together)}
        assert found == {
            "10.00 8.40; S19 8.40 1.60; 8.40 1.60 10.00",
            "19.99 16.80; 0.00 0.00; 49.90 41.93; S19 58.73 11.16; 58.73 11.16 69.89",
        }

    def test_what_is_unused_is_credited_with_tax(self) -> None:
        subscription = subscribed()
        life.cancel(
            subscription_id=subscription.pk, when=When.IMMEDIATE, at=at(11, 10), actor=SYSTEM
        )
        used(subscription, 500)  # 400 - 33 within ten days' allowance of 34: 466 × 0.05
        invoice = close(at(12, 1))[-1]
        # 19.99 × 20/30 = 13.33 with tax
        assert told(invoice) == "23.30 19.58; -13.33 -11.20; S19 8.38 1.59; 8.38 1.59 9.97"

    def test_late_usage_is_a_difference_with_tax(self) -> None:
        subscription = subscribed()
        used(subscription, 287)
        issue(close(at(12, 1))[-1], at(12, 2))
        use(subscription, at(11, 30), received_at=at(12, 3), calls=13)
        invoice = close(at(1, 1, year=2027))[-1]
        assert (
            told(invoice) == "19.99 16.80; 0.00 0.00; 0.65 0.54; S19 17.34 3.30; 17.34 3.30 20.64"
        )
        late = invoice.lines.get(kind="late")
        assert (late.gross, late.explanation["whole"]) == (D("0.65"), "10.00")
        assert late.explanation["billed"][0]["amount"] == "9.35"


class TestSharing:
    """R37: prices with tax and before tax never share an invoice."""

    def test_alike_they_share_it_and_tax_is_taken_out_once(self) -> None:
        ada = consumer(key="ada", consolidation="one_invoice")
        for key in ("one", "two", "three"):
            make.subscription(ada, version(make.flat(amount="9.99")), key=key, starts_on=NOV)
        [invoice] = close(at(11, 1))
        assert told(invoice) == "9.99 8.40; 9.99 8.39; 9.99 8.39; S19 25.18 4.79; 25.18 4.79 29.97"

    def test_who_joins_a_draft_changes_no_line_of_it(self) -> None:
        ada = consumer(key="ada", consolidation="one_invoice")
        plan = version(make.flat(amount="9.99"))
        first = make.subscription(ada, plan, key="one", starts_on=NOV)
        closing.close_subscriptions(subscription_ids=[first.pk], as_of=at(11, 1))
        [invoice] = Invoice.objects.with_lines()
        assert told(invoice) == "9.99 8.39; S19 8.39 1.60; 8.39 1.60 9.99"
        for key in ("two", "three"):
            second = make.subscription(ada, plan, key=key, starts_on=NOV)
            closing.close_subscriptions(subscription_ids=[second.pk], as_of=at(11, 1))
        [invoice] = Invoice.objects.with_lines()
        assert told(invoice) == "9.99 8.39; 9.99 8.40; 9.99 8.39; S19 25.18 4.79; 25.18 4.79 29.97"

    def test_unlike_each_has_its_own(self) -> None:
        ada = consumer(key="ada", consolidation="one_invoice")
        make.subscription(ada, version(make.flat(amount="9.99")), starts_on=NOV)
        make.subscription(ada, make.published(make.flat(amount="9.99")), starts_on=NOV)
        found = sorted((one.prices_include_tax, f"{one.total:.2f}") for one in close(at(11, 1)))
        assert found == [(False, "11.89"), (True, "9.99")]


class TestChange:
    """R19, R20: a subscription's prices stay with tax, or before it."""

    @pytest.mark.parametrize("include", [True, False])
    def test_to_the_other_kind_is_refused_by_name(self, include: bool) -> None:
        terms = {"prices_include_tax": include}
        subscription = make.subscription(version=make.published(make.flat(), **terms))
        other = make.published(make.flat(amount="20"), prices_include_tax=not include)
        with pytest.raises(Invalid, match="No subscription changes between the two") as refused:
            life.change_plan(
                subscription_id=subscription.pk,
                version=other,
                when=When.AT_PERIOD_END,
                at=at(11, 2),
                actor=SYSTEM,
            )
        [fault] = refused.value.faults
        assert (fault.code, fault.path) == ("tax_mismatch", ("plan",))

    def test_in_bulk_too(self) -> None:
        subscribed = make.subscription(version=version(make.flat()))
        chosen = Subscription.objects.filter(pk=subscribed.pk)
        now = subscribed.phases.get().plan_version
        to = make.published(make.flat(amount="20"))
        terms: Any = {"to_version": to, "when": MoveWhen.AT_PERIOD_END, "at": at(11, 2)}
        with pytest.raises(Invalid, match="are before tax, and those before include it"):
            moving.start_move(subscriptions=chosen, from_version=now, actor=SYSTEM, **terms)
        move = moving.start_move(subscriptions=chosen, from_version=None, actor=SYSTEM, **terms)
        moving.take_step(move_id=move.pk, now=at(11, 2))
        row = move.rows.get()
        assert (row.outcome, "before tax" in row.note) == ("refused", True)

    def test_to_another_plan_with_tax_both_parts_are_priced_with_it(self) -> None:
        subscription = subscribed()
        life.change_plan(
            subscription_id=subscription.pk,
            version=version(make.flat(amount="39.99")),
            when=When.IMMEDIATE,
            at=at(11, 16),
            actor=SYSTEM,
        )
        invoice = close(at(12, 1))[-1]
        # 39.99 ahead, 39.99 × 15/30 = 20.00 for the rest of November, less 19.99 × 15/30 = 10.00
        assert told(invoice) == (
            "39.99 33.60; 20.00 16.81; 0.00 0.00; -10.00 -8.40; S19 42.01 7.98; 42.01 7.98 49.99"
        )


@pytest.mark.parametrize(
    ("corrupt", "checks"),
    [
        pytest.param(
            lambda: InvoiceLine.objects.filter(kind="fee", **DRAFT).update(net=D("16.50")),
            {"invoices_add_up", "taxes_follow_from_lines", "included_taxes_follow_from_prices"},
            id="a net that is not its price's",
        ),
        pytest.param(
            lambda: TaxSubtotal.objects.filter(**DRAFT).update(amount=D("4.69")),
            {"invoices_add_up", "included_taxes_follow_from_prices"},
            id="a tax that its prices do not include",
        ),
        pytest.param(
            lambda: Invoice.objects.filter(status="draft").update(prices_include_tax=False),
            {"included_taxes_follow_from_prices", "taxes_follow_from_lines"},
            id="prices with tax on an invoice before tax",
        ),
        pytest.param(
            lambda: InvoiceLine.objects.filter(**DRAFT).update(gross=None),
            {"included_taxes_follow_from_prices", "lines_are_what_their_rows_come_to"},
            id="prices without tax on an invoice with it",
        ),
    ],
)
def test_audit(corrupt: Callable[[], object], checks: set[str]) -> None:
    december()
    try:
        with transaction.atomic():
            corrupt()
            names = [one.name for one in BOOKS]
            results = list(audit(at=at(12, 5), names=names))
            raise Undone
    except Undone:
        pass
    found = {one.invariant.name for one in results if one.findings}
    assert found - {"periods_close_in_time", "documents_are_as_issued"} == checks
