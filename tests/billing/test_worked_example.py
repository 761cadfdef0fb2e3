"""The worked month of the invoice design, from events to totals, cent by cent."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO

import pytest
from pypdf import PdfReader

from billing.documents import render
from billing.models import Invoice, InvoiceStatus
from billing.presentation import present
from billing.presentation.views import GrantView
from billing.services import runs
from billing.services.issuing import issue_invoices
from catalog.drafts import PriceDraft
from catalog.models import Price
from config.base.audit import SYSTEM
from customers.models import Issuer, Subscription
from metering.events import read_event
from metering.services.ingestion import ingest
from tests import factories as make

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def fernwood() -> Subscription:
    """A subscription to Scale from 1 November, sold with 19 % VAT."""
    Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
    calls = make.metric("api_calls", event_type="api.call", value_property="calls")
    storage = make.metric(
        "storage",
        unit="GB-month",
        unit_plural="GB-months",
        event_type="storage",
        value_property="gb_months",
        rounding_scale=10,
    )
    version = make.published(
        make.flat("base", "499.00", name="Platform base fee"),
        make.graduated(
            calls,
            "50000 @ 0.002, rest @ 0.0015",
            key="calls",
            name="API calls",
            included_quantity=D(100_000),
        ),
        PriceDraft(
            Price(
                key="storage",
                name="Storage",
                metric=storage,
                model="per_unit",
                timing="arrears",
                unit_amount=D("0.12"),
                included_quantity=D(50),
            )
        ),
    )
    return make.subscription(make.customer("fernwood"), version, starts_on=date(2026, 11, 1))


def event(number: int, kind: str, **data: object) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "test",
        "type": kind,
        "subject": "fernwood",
        "time": f"2026-11-{number:02}T12:00:00Z",
        "data": data,
    }


def close(as_of: datetime) -> list[Invoice]:
    run = runs.start_run(as_of=as_of, now=as_of, actor=SYSTEM)
    for chunk in runs.chunks(run):
        runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=as_of)
    run = runs.finish_if_done(run_id=run.pk, now=as_of)
    assert run.status == "finished"
    return list(Invoice.objects.with_lines().order_by("pk"))


def use_november() -> None:
    events = [event(n, "api.call", calls=6244) for n in range(1, 31)]
    events.append(event(30, "api.call", calls=20) | {"id": "last"})
    events.append(event(15, "storage", gb_months="82.5") | {"id": "storage"})
    received = datetime(2026, 11, 30, 13, tzinfo=UTC)
    ingest([read_event(one) for one in events], received_at=received)


def test_november_costs_what_a_pocket_calculator_says(fernwood: Subscription) -> None:
    use_november()
    opening, november = close(datetime(2026, 12, 1, 1, tzinfo=UTC))

    assert (opening.status, opening.net_total) == (InvoiceStatus.ISSUED, D("499.00"))
    assert november.status == InvoiceStatus.DRAFT
    assert [(line.description, line.quantity, line.net) for line in november.lines.all()] == [
        ("Platform base fee", D(1), D("499.00")),
        ("API calls", D(187340), D("156.01")),
        ("Storage", D("82.5"), D("3.90")),
    ]
    assert (november.net_total, november.tax_total, november.total) == (
        D("658.91"),
        D("125.19"),
        D("784.10"),
    )


def test_a_launch_promotion_comes_off_before_tax_and_stands_on_the_paper(
    fernwood: Subscription,
) -> None:
    promotion = make.coupon("launch", name="Launch promotion", amount=D(50))
    make.applied_coupon(fernwood, promotion, starts_on=date(2026, 12, 1))
    use_november()
    opening, november = close(datetime(2026, 12, 1, 1, tzinfo=UTC))

    assert opening.net_total == D("499.00")
    assert (november.net_total, november.tax_total, november.total) == (
        D("608.91"),
        D("115.69"),
        D("724.60"),
    )
    [allowance] = november.allowances.all()
    assert [share["amount"] for share in allowance.shares] == ["37.86", "11.84", "0.30"]
    view = present(november, locale="en-GB")
    assert [(total.label, total.value) for total in view.totals] == [
        ("Sum of lines", "658.91"),
        ("Launch promotion (before VAT)", "\u221250.00"),
        ("Net total", "608.91"),
        ("VAT 19\u00a0% on 608.91", "115.69"),
        ("Invoice total", "€724.60"),
    ]
    paper = PdfReader(BytesIO(render(view))).pages[-1].extract_text()
    rows = ("Sum of lines", "Launch promotion (before VAT)", "Net total", "Invoice total")
    places = [paper.replace("\u00a0", " ").index(row) for row in rows]
    assert places == sorted(places)


def test_a_deposit_comes_off_after_the_total_and_leaves_tax_as_it_is(
    fernwood: Subscription,
) -> None:
    promotion = make.coupon("launch", name="Launch promotion", amount=D(50))
    make.applied_coupon(fernwood, promotion, starts_on=date(2026, 12, 1))
    use_november()
    at = datetime(2026, 12, 1, 1, tzinfo=UTC)
    *_, november = close(at)
    make.payment(fernwood.customer, "800", kind="deposit", max_per_invoice=D(200), at=at)
    issue_invoices(invoice_ids=[november.pk], as_of=at, actor=SYSTEM)

    issued = Invoice.objects.with_lines().get(pk=november.pk)
    assert (issued.total, issued.tax_total) == (D("724.60"), D("115.69"))
    assert (issued.open_item.open, issued.payment_status) == (D("524.60"), "part_paid")
    view = present(issued, locale="en-GB")
    assert [(total.label, total.value) for total in view.totals[-3:]] == [
        ("Invoice total", "€724.60"),
        ("Deposit applied (balance 800.00 → 600.00)", "\u2212200.00"),
        ("Amount due", "€524.60"),
    ]
    assert view.payment.amount == "€524.60"
    pages = PdfReader(BytesIO(render(view))).pages
    paper = " ".join(each.extract_text() for each in pages)
    assert "Deposit applied (balance 800.00 → 600.00)" in paper
    assert [(fact.label, fact.value) for fact in view.account] == [
        ("Balance before", "593.81"),
        ("This invoice", "724.60"),
        ("Paid from deposits", "\u2212200.00"),
        ("Total outstanding", "€1,118.41"),
    ]
    [grant] = view.grants
    assert grant == GrantView("Deposit of 1 Dec 2026", "0.00", "800.00", "\u2212200.00", "600.00")
    assert "Your deposits and balance" in paper
    make.payment(fernwood.customer, "5", at=at)  # what comes later changes no document
    assert present(Invoice.objects.with_lines().get(pk=november.pk), locale="en-GB") == view
