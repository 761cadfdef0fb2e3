"""Whole months as paper: from events to an issued PDF whose text gives each figure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from pypdf import PdfReader

from billing.documents import pdf_of
from billing.models import Invoice
from billing.services.issuing import issue_invoices
from catalog.drafts import PriceDraft
from catalog.models import Price, ValueMetric
from config.base.audit import SYSTEM
from customers.models import Issuer, Subscription
from customers.services import change_issuer
from tests import factories as make
from tests.billing import test_worked_example as worked
from tests.billing.machine import ON
from tests.billing.months import close, contradictions, use
from tests.billing.test_documents import in_order, pages
from tests.billing.test_worked_example import fernwood  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.once]
D = Decimal
ISSUED = datetime(2026, 12, 2, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _books(settings: LazySettings, tmp_path: Path) -> Iterator[None]:
    settings.DATA_DIR = tmp_path
    yield
    assert not contradictions(ISSUED, but=["periods_close_in_time"])


def seller() -> None:
    terms = {"name": "Northlight Data", "tax_status": "standard", "standard_tax_rate": D(19)}
    fields = {**ON, **terms, "email": "billing@northlight.example", "legal_text": ""}
    change_issuer(issuer_id=Issuer.objects.get().pk, fields=fields, actor=SYSTEM)


def paper(subscription: Subscription, name: str) -> list[str]:
    """Close November, issue what it billed, and read the pages of the last document.

    With GOLDEN=folder in the environment the PDF is put there, to be looked at.
    """
    close(datetime(2026, 12, 1, 1, tzinfo=UTC))
    drafts = Invoice.objects.filter(status="draft").order_by("pk").values_list("pk", flat=True)
    issue_invoices(invoice_ids=list(drafts), as_of=ISSUED, actor=SYSTEM)
    billed = Invoice.objects.with_lines().filter(customer=subscription.customer)
    found = billed.order_by("pk").last()
    assert found is not None
    pdf = pdf_of(found)
    if folder := os.environ.get("GOLDEN"):
        Path(folder, f"{name}.pdf").write_bytes(pdf)
    assert PdfReader(BytesIO(pdf)).metadata is not None
    return pages(pdf)


def calls(**fields: Any) -> ValueMetric:
    return make.metric("api_calls", name="API calls", **fields)


def scale(currency: str, fee: str, ladder: str, **terms: Any) -> Any:
    """A base fee, and calls of which 100,000 are included."""
    usage = make.graduated(
        calls(), ladder, key="calls", name="API calls", included_quantity=D(100_000)
    )
    fee_ = make.flat("base", fee, name="Platform base fee")
    return make.published(fee_, usage, currency=currency, plan=make.plan("scale", name="Scale"))


def busy(customer: Any, version: Any, count: int = 187_340) -> Subscription:
    subscription = make.subscription(customer, version, key=f"{customer.key}-scale")
    for day in range(1, 11):
        use(subscription, datetime(2026, 11, 3 * day - 2, 12, tzinfo=UTC), calls=count // 10)
    return subscription


def test_the_worked_example_with_promotion_and_deposit(
    fernwood: Subscription,  # noqa: F811
) -> None:
    seller()
    buyer = fernwood.customer
    fields = {"legal_name": "Fernwood Analytics GmbH", "country": "DE", "city": "Hamburg"}
    fields |= {"locale": "en-GB"}
    for key, value in {**fields, "line1": "Speicherstraße 1", "postal_code": "20457"}.items():
        setattr(buyer, key, value)
    buyer.save()
    worked.use_november()
    close(datetime(2026, 11, 1, 1, tzinfo=UTC))
    opening = Invoice.objects.get()
    issue_invoices(invoice_ids=[opening.pk], as_of=ISSUED.replace(month=11), actor=SYSTEM)
    promotion = make.coupon("launch", name="Launch promotion", amount=D(50))
    make.applied_coupon(fernwood, promotion, starts_on=date(2026, 12, 1))
    make.payment(buyer, "800", kind="deposit", max_per_invoice=D(200), at=ISSUED)
    text = " ".join(paper(fernwood, "worked-example"))
    in_order(
        text,
        *("Fernwood Analytics GmbH", "Speicherstraße 1", "20457 Hamburg", "Invoice"),
        *("INV-2026-000002", "2 Dec 2026", "1–30 Nov 2026", "1–31 Dec 2026"),
        *("Amount due by 1 January 2027", "€524.60", "DE89 3704 0044 0532 0130 00"),
        *("187,340", "100,000", "87,340", "82.5", "50", "32.5"),
        *("Platform base fee", "1 month", "499.00", "19 %", "499.00"),
        *("API calls", "187,340 calls", "156.01"),
        *("Included in your plan", "100,000", "0.00", "0.00"),
        *("First 50,000 calls over", "50,000", "2.00 per 1,000", "100.00"),
        *("Above 50,000 calls over", "37,340", "1.50 per 1,000", "56.01"),
        *("Storage", "82.5 GB-months", "3.90", "32.5", "0.12", "3.90"),
        *("Sum of lines", "658.91", "Launch promotion (before VAT)", "−50.00"),
        *("Net total", "608.91", "VAT 19 % on 608.91", "115.69", "Invoice total", "€724.60"),
        *("Deposit applied (balance 800.00 → 600.00)", "−200.00", "Amount due", "€524.60"),
        *("Standard rate", "19 %", "608.91", "115.69", "724.60"),
        *("Opening", "Added", "Used", "Remaining"),
        *("Deposit of 2 Dec 2026", "0.00", "800.00", "−200.00", "600.00"),
    )


def test_reverse_charge_in_french() -> None:
    seller()
    buyer = make.customer(
        "hirondelle",
        name="Hirondelle",
        legal_name="Hirondelle SARL",
        line1="12 rue des Lilas",
        postal_code="69003",
        city="Lyon",
        country="FR",
        vat_id="FR40303265045",
        locale="fr-FR",
        purchase_order="BC-2026-17",
    )
    version = scale("EUR", "499.00", "50000 @ 0.002, rest @ 0.0015")
    text = " ".join(paper(busy(buyer, version), "reverse-charge"))
    in_order(
        text,
        *("Hirondelle SARL", "12 rue des Lilas", "69003 Lyon", "Facture", "INV-2026-000002"),
        *("BC-2026-17", "FR40303265045", "DE136695976", "655,01 €"),
        *("187 340", "100 000", "87 340", "Platform base fee", "1 mois", "499,00", "0 %"),
        *("156,01", "50 000", "100,00", "37 340", "56,01"),
        *("655,01", "Autoliquidation", "0 %", "655,01", "0,00", "655,01"),
    )
    assert "article 196" in text.casefold()


def test_yen_have_no_decimals() -> None:
    seller()
    buyer = make.customer(
        "kawa",
        name="川システム",
        legal_name="川システム株式会社",
        line1="1-2-3 Marunouchi",
        postal_code="100-0005",
        city="Tokyo",
        country="JP",
        currency="JPY",
        locale="ja-JP",
    )
    version = scale("JPY", "74800", "50000 @ 0.3, rest @ 0.225")
    text = " ".join(paper(busy(buyer, version), "yen"))
    in_order(
        text,
        *("川システム株式会社", "Tokyo", "INV-2026-000002", "98,202"),
        *("Platform base fee", "1 month", "74,800", "–", "74,800", "API calls", "23,402"),
        *("100,000", "50,000", "300 per 1,000", "15,000", "37,340", "225 per 1,000", "8,401.5"),
        *("Rounding", "0.5", "Net total", "98,202", "Invoice total", "98,202"),
        "Not subject to VAT",
    )


def test_dinars_have_three_decimals() -> None:
    seller()
    buyer = make.customer(
        "gulf",
        name="Gulf Freight",
        legal_name="Gulf Freight W.L.L.",
        line1="Ahmad Al Jaber St 8",
        city="Kuwait City",
        country="KW",
        currency="KWD",
        locale="en-GB",
    )
    version = scale("KWD", "151.250", "50000 @ 0.00062, rest @ 0.00045")
    text = " ".join(paper(busy(buyer, version), "dinars"))
    in_order(
        text,
        *("Gulf Freight W.L.L.", "Kuwait City", "Amount due by", "KWD 199.053"),
        *("Platform base fee", "151.250", "API calls", "187,340 calls", "47.803"),
        *("50,000", "0.620 per 1,000", "31.000", "37,340", "0.450 per 1,000", "16.803"),
        *("Net total", "199.053", "Invoice total", "KWD 199.053", "Not subject to VAT"),
    )


def test_two_hundred_lines_over_pages() -> None:
    seller()
    buyer = make.customer("many", name="Many Hands", country="DE", locale="en-GB")
    fees = [
        PriceDraft(
            Price(
                key=f"desk-{n}",
                name=f"Desk {n:03} on floor {n % 7}",
                model="flat",
                timing="arrears",
                unit_amount=D(n) / 8,
            )
        )
        for n in range(1, 201)
    ]
    subscription = make.subscription(buyer, make.published(*fees))
    each = paper(subscription, "two-hundred-lines")
    text = " ".join(each)
    net = sum((D(n) / 8).quantize(D("0.01"), "ROUND_HALF_UP") for n in range(1, 201))
    assert net == D("2513.00")
    in_order(text, *(f"Desk {n:03} on floor" for n in range(1, 201)))
    in_order(text, "Net total", "2,513.00", "VAT 19 % on 2,513.00", "477.47", "€2,990.47")
    assert len(each) > 4
    for number, page in enumerate(each, start=1):
        assert f"Page {number} of {len(each)}" in page
    charged = [page for page in each if "Desk" in page]
    assert all("Description Period Quantity" in page for page in charged)
    [last] = [page for page in each if "Net total" in page]
    assert last == charged[-1]  # the totals stand with the last of the lines


def test_nothing_to_pay_is_still_told() -> None:
    seller()
    buyer = make.customer("quiet", name="Quiet Ltd", country="GB", locale="en-GB")
    usage = make.graduated(
        calls(), "rest @ 0.002", key="calls", name="API calls", included_quantity=D(100_000)
    )
    subscription = busy(buyer, make.published(usage), 43_210)
    text = " ".join(paper(subscription, "nothing-to-pay"))
    in_order(
        text,
        *("Quiet Ltd", "INV-2026-000001", "Nothing to pay", "€0.00"),
        *("43,210", "100,000", "API calls", "43,210 calls", "0.00"),
        *("Included in your plan", "43,210", "0.00", "0.00", "Net total", "0.00"),
        *("Invoice total", "€0.00"),
    )
    assert "DE89" not in re.sub(r"\s", "", text)  # nobody is asked to pay nothing
