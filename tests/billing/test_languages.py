"""Whatever is billed, papers in French and Spanish are in French and Spanish alone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal as D
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from billing.credit_documents import credit_note_pdf
from billing.documents import pdf_of
from billing.models import CreditNote, Invoice
from billing.services import issuing, life
from billing.services.life import When
from catalog.drafts import PriceDraft
from catalog.models import Price
from config.base.audit import SYSTEM
from customers.models import Issuer, Subscription
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.months import close, use

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ENGLISH = (
    "the of and to is was for with your you from by per in on at it this that what which paid due "
    "invoice credit note total amount tax net gross included over first rest fee usage late period "
    "day days month months charged billed before after unit units price"
)
GERMAN = "und der das für von mit je auf ist wird nicht Rechnung Nutzung Zeitraum Tage"
ALIKE = {
    "fr": {"note", "net", "total", "on", "unit", "usage"},
    "es": {"total", "once"},
}
"""What these languages have, too."""


def at(month: int, day: int, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def price(key: str, model: str, metric: Any, **fields: Any) -> PriceDraft:
    return PriceDraft(Price(key=key, model=model, metric=metric, **fields), [])


@pytest.fixture(params=["fr", "es"])
def buyer(request: Any, settings: Any, tmp_path: Path) -> Subscription:
    """Somebody who is billed all there is: fees, seats, tiers, packages, payments, least amounts."""
    settings.DATA_DIR = tmp_path
    Issuer.objects.update(
        tax_status="standard", standard_tax_rate=D(19), country="DE", name="Xx", legal_name="Xx",
        email="x@x.test", iban="DE89370400440532013000",
    )  # fmt: skip
    names = {"unit": "xx", "unit_plural": "xx"}
    calls, files = (
        make.metric("calls", **names),
        make.metric("files", event_type="f", value_property="files", **names),
    )
    paid = make.metric("paid", event_type="p", value_property="amount", **names)
    heat = make.metric("heat", event_type="h", value_property="heat", **names)
    version = make.published(
        make.flat("base", "100", name="Xa"),
        price(
            "seats", "per_unit", None, name="Xb", unit_amount=D(5), timing="advance",
            unit="xx", unit_plural="xx",
        ),
        make.graduated(
            calls, "100 @ 0.002, rest @ 0.001", key="calls", name="Xc",
            included_quantity=D(300), minimum=D(40), discount_percent=D(5),
        ),
        price(
            "files", "package", files, name="Xd", unit_amount=D(3), package_size=D(10),
            timing="arrears",
        ),
        price(
            "paid", "percentage", paid, name="Xe", percent_rate=D("1.5"), fixed_amount=D("0.1"),
            per_event_minimum=D(1), per_event_maximum=D(2), free_events=1, timing="arrears",
        ),
        make.graduated(heat, "rest @ 0.5", key="heat", name="Xf", maximum=D(10)),
        minimum_commitment=D(400),
    )  # fmt: skip
    ada = make.subscription(
        make.customer("ada", name="Xg", locale=request.param, country="DE", line1="Xh 1"),
        version,
        key="ada",
        starts_on=date(2026, 4, 1),
    )
    make.applied_coupon(ada, make.coupon("xi", name="Xi"), starts_on=date(2026, 4, 1))
    return ada


def test_every_kind_of_line(buyer: Subscription) -> None:
    make.payment(buyer.customer, "50", kind="deposit", at=at(4, 1), reference="Xj")
    make.payment(buyer.customer, "20", at=at(4, 1), reference="Xk")
    issued(at(4, 1))
    month(buyer, 4)
    make.sold_add_on(buyer, make.add_on("xl", name="Xl"), at=at(4, 10))
    issued(at(5, 1, 1))
    use(buyer, at(4, 12), received_at=at(5, 5), calls=500)
    month(buyer, 5)
    life.cancel(subscription_id=buyer.pk, when=When.IMMEDIATE, at=at(5, 20), actor=SYSTEM)
    issued(at(5, 21, 1))
    kinds = {line.kind for one in Invoice.objects.all() for line in one.lines.all()}
    assert kinds == {"fee", "usage", "minimum", "commitment", "credit", "add_on", "late"}
    credit(Invoice.objects.latest("pk"), at=at(5, 25))
    papers = [pdf_of(one) for one in Invoice.objects.with_lines()]
    papers += [credit_note_pdf(note) for note in CreditNote.objects.all()]
    for paper in papers:
        assert foreign(paper, buyer.customer.locale) == []


def test_a_credit_note_that_comes_by_itself(buyer: Subscription) -> None:
    issued(at(4, 1))
    draft = close(at(4, 2))[-1]
    assert foreign(pdf_of(draft), buyer.customer.locale) == []
    version = make.published(make.flat("alone", "100", name="Xm"))
    eve = make.subscription(
        make.customer("eve", name="Xn", locale=buyer.customer.locale),
        version,
        starts_on=date(2026, 4, 1),
    )
    issued(at(4, 2))
    life.cancel(subscription_id=eve.pk, when=When.IMMEDIATE, at=at(4, 20), actor=SYSTEM)
    last = close(at(4, 21, 1))[-1]
    assert foreign(pdf_of(last), buyer.customer.locale) == []
    issued(at(4, 21, 1))
    assert foreign(credit_note_pdf(CreditNote.objects.get()), buyer.customer.locale) == []


def month(buyer: Subscription, number: int) -> None:
    use(buyer, at(number, 5), calls=420)
    use(buyer, at(number, 6), type="f", files=25)
    for amount in (100, 10, 1000):
        use(buyer, at(number, 7), type="p", amount=amount)
    use(buyer, at(number, 8), type="h", heat=90)


def issued(moment: datetime) -> None:
    close(moment)
    left = Invoice.objects.filter(status__in=["draft", "review"]).order_by("pk")
    ids = list(left.values_list("pk", flat=True))
    issuing.issue_invoices(invoice_ids=ids, as_of=moment, actor=SYSTEM)


def foreign(paper: bytes, language: str) -> list[str]:
    """Return the English and German words of a paper, each with what is around it."""
    text = " ".join(" ".join(p.extract_text() for p in PdfReader(BytesIO(paper)).pages).split())
    text = re.sub(r"\S*/portal/\S*", "", text)  # an address is in no language
    words = {*ENGLISH.split(), *GERMAN.split()} - ALIKE[language]
    return [
        text[max(0, found.start() - 20) : found.end() + 20]
        for found in re.finditer(r"[^\W\d_]+", text)
        if found[0] in words or found[0].lower() in words
    ]
