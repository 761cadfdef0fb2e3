"""The issuer's own look: logo, texts, series and languages, in a preview and on paper."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import LazySettings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from pypdf import PdfReader

from billing import documents, tasks, typesetting
from billing.documents import document_path, pdf_of, render, store_document
from billing.glyphs import printable
from billing.models import Invoice
from billing.presentation import present
from billing.services import issuing
from billing.typesetting import FetchRefused
from config.base.audit import SYSTEM
from config.base.models import AuditEntry
from customers import services as customers
from customers.logos import LogoRefused, read_logo
from customers.models import Customer, Issuer
from tests import factories as make
from tests.billing import paper
from tests.billing.months import close
from tests.conftest import Caller
from tests.customers.test_logos import form, picture
from tests.staff import leo, page, said, stranger

pytestmark = [pytest.mark.django_db, pytest.mark.unaudited]


@pytest.fixture(autouse=True)
def data_dir(settings: LazySettings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def text_of(pdf: bytes) -> str:
    texts = (page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)
    return re.sub(r"[\s\u00a0\u202f]+", " ", " ".join(texts))


def with_logo() -> Issuer:
    issuer = Issuer.objects.get()
    issuer.logo = customers.keep_logo(read_logo(picture()))
    issuer.save()
    return issuer


class TestOnPaper:
    def test_the_logo_takes_the_place_of_the_name_and_says_it(self) -> None:
        logo = with_logo().logo
        assert logo
        plain = render(present(paper.invoice()))
        pdf = render(present(paper.invoice(seller={"logo_id": logo.pk})))
        images = [len(page.images) for page in PdfReader(BytesIO(pdf)).pages]
        assert images[0] == 1
        assert not [one for page in PdfReader(BytesIO(plain)).pages for one in page.images]

    def test_an_issued_invoice_keeps_the_logo_it_was_issued_with(self) -> None:
        with_logo()
        make.subscription(make.customer("ada"), make.published(make.flat()))
        [issued] = close(datetime(2026, 11, 2, 2, tzinfo=UTC))
        document = store_document(issued.pk)
        pdf = document_path(document.sha256).read_bytes()
        Issuer.objects.update(logo=None, legal_text="Something else")
        document_path(document.sha256).unlink()
        assert pdf_of(Invoice.objects.with_lines().get(pk=issued.pk)) == pdf

    def test_torn_logos_are_refused_in_a_process_that_lays_pages_out(self) -> None:
        typesetting.engine()
        for whole in (picture(), picture("JPEG")):
            with pytest.raises(LogoRefused):
                read_logo(whole[: len(whole) * 2 // 3])

    @pytest.mark.parametrize("name", ["logo:" + "0" * 64, "logo:../../etc/passwd", "logo:"])
    def test_a_logo_that_is_not_kept_is_fetched_from_nowhere(self, name: str) -> None:
        with pytest.raises(FetchRefused):
            typesetting.engine().fetcher.fetch(name)

    def test_legal_texts_and_footer_are_printed_and_escaped(self) -> None:
        text = text_of(
            render(
                present(
                    paper.invoice(
                        seller={
                            "legal_text": "Our terms of 1 May apply.\n<script>x</script>",
                            "footer_text": "Managing director: A. Example",
                        }
                    )
                )
            )
        )
        assert "Our terms of 1 May apply. <script>x</script>" in text
        assert "Managing director: A. Example" in text

    def test_a_series_stands_in_the_number_and_counts_by_itself(self) -> None:
        make.subscription(make.customer("ada"), make.published(make.flat()))
        close(datetime(2026, 11, 2, 2, tzinfo=UTC))
        Issuer.objects.update(series="EU")
        make.subscription(make.customer("bob"), make.published(make.flat()))
        at = datetime(2026, 11, 2, 3, tzinfo=UTC)
        waiting = [one.pk for one in close(at) if one.is_open]
        issuing.issue_invoices(invoice_ids=waiting, as_of=at, actor=SYSTEM)
        numbers = Invoice.objects.order_by("pk").values_list("number", flat=True)
        assert list(numbers) == ["INV-2026-000001", "INV-EU-2026-000001"]


LANGUAGES = {
    "fr-FR": (
        *("Facture", "À payer avant le 31 décembre 2026 inclus", "784,10 €", "187 340"),
        *("Désignation", "Platform base fee", "1 mois", "499,00"),
        *("Inclus dans votre formule", "100 000", "2,00 par 1 000", "156,01"),
        *("Total net", "658,91", "TVA 19 % sur 658,91", "125,19", "Total de la facture"),
        *("Taux normal", "Page 1 sur"),
    ),
    "es-ES": (
        *("Factura", "A pagar hasta el 31 de diciembre de 2026", "784,10 €", "187.340"),
        *("Concepto", "Platform base fee", "1 mes", "499,00"),
        *("Incluido en su plan", "100.000", "2,00 por 1.000", "156,01"),
        *("Total neto", "658,91", "IVA 19 % sobre 658,91", "125,19", "Total de la factura"),
        *("Tipo general", "Página 1 de"),
    ),
}


@pytest.mark.parametrize("locale", LANGUAGES)
def test_the_worked_example_in_french_and_spanish(locale: str) -> None:
    pdf = render(present(paper.invoice(locale=locale)))
    text = text_of(pdf)
    for figure in LANGUAGES[locale]:
        assert figure in text, figure
    root: Any = PdfReader(BytesIO(pdf)).root_object
    assert root["/Lang"] == locale


class TestPaymentCode:
    def code(self, iban: str = "DE89370400440532013000", **options: Any) -> Any:
        return present(paper.invoice(seller={"iban": iban}, **options)).payment.code

    def test_euro_to_a_possible_account_has_one(self) -> None:
        code = self.code()
        assert code
        assert code.text == (
            "Code for bank apps: €784.10 to DE89370400440532013000, reference INV-2026-000117."
        )

    @pytest.mark.parametrize(
        ("iban", "options"),
        [
            pytest.param("DE89370400440532013001", {}, id="the check digits are wrong"),
            pytest.param("", {}, id="no account"),
            pytest.param("DE89370400440532013000", {"currency": "JPY"}, id="another currency"),
            pytest.param("DE89370400440532013000", {"issued": False}, id="a draft"),
        ],
    )
    def test_nothing_else_has_one(self, iban: str, options: dict[str, Any]) -> None:
        assert self.code(iban, **options) is None


class TestGlyphs:
    @pytest.mark.parametrize(
        "text",
        ["Zażółć", "Жук Ωμέγα", "株式会社", "한국", "שלום", "شركة", "ไทย", "→ − × ·", "a\u200db"],
    )
    def test_packaged_fonts_have_them(self, text: str) -> None:
        assert printable(text) == (text, ())

    def test_what_no_font_has_is_left_out_or_a_question_mark(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("billing.glyphs._is_installed", lambda _: False)
        assert printable("🧾 Bills") == (" Bills", ("🧾",))
        assert printable("A𐍈B") == ("A?B", ("𐍈",))

    def test_a_kept_document_says_what_it_lacks(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("billing.glyphs._is_installed", lambda _: False)
        issued = paper.invoice(legal_name="𐍈 GmbH")
        document = store_document(issued.pk)
        assert "? GmbH" in text_of(document_path(document.sha256).read_bytes())
        entry = AuditEntry.objects.get(action="printed incompletely")
        assert "U+10348 GOTHIC LETTER HWAIR" in entry.note
        assert "no font has" in caplog.text
        words = said(leo().get(page("billing_invoice", "change", issued.pk)))
        assert "U+10348 GOTHIC LETTER HWAIR" in words


class TestPreview:
    def url(self) -> str:
        return reverse("admin:billing_invoice_preview", args=(Issuer.objects.get().pk,))

    def test_it_shows_what_is_saved(self) -> None:
        Issuer.objects.update(footer_text="Managing director: A. Example")
        answer = leo().get(self.url())
        assert "Managing director: A. Example" in said(answer)
        assert "187,340" in said(answer)
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    def test_it_follows_the_form_and_saves_nothing(self) -> None:
        sent = form(
            locale="de-DE",
            footer_text="Geschäftsführung: A. Beispiel",
            accent_colour="#b3541e",
            country="nowhere",
            logo_file=SimpleUploadedFile("logo.png", picture()),
        )
        answer = leo().post(self.url(), sent)
        body = answer.content.decode()
        assert "Geschäftsführung: A. Beispiel" in body
        assert "Rechnung" in body
        assert "--accent: #b3541e" in body
        assert "data:image/png;base64," in body
        assert Issuer.objects.get().footer_text == ""

    def test_hostile_texts_stay_texts(self) -> None:
        body = leo().post(self.url(), form(footer_text="</style><script>x</script>")).content
        assert b"<script>" not in body

    def test_who_may_not_see_issuers_sees_nothing(self) -> None:
        assert stranger().get(self.url()).status_code == 403

    def test_nothing_is_laid_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(documents, "typeset", None)
        assert leo().get(self.url()).status_code == 200

    def test_it_stands_below_the_form(self) -> None:
        url = page("customers_issuer", "change", Issuer.objects.get().pk)
        assert self.url() in leo().get(url).content.decode()


class TestWithWorkers:
    """With a broker the web process lays nothing out: it asks a worker, and says so until then."""

    @pytest.fixture(autouse=True)
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        asked: list[int] = []
        monkeypatch.setitem(current_app.conf, "task_always_eager", False)
        monkeypatch.setattr(tasks, "nudge", lambda task, pk: asked.append(pk))
        return asked

    @pytest.fixture(params=[True, False], ids=["issued", "draft"])
    def invoice(self, request: pytest.FixtureRequest) -> Invoice:
        return paper.invoice(issued=request.param)

    def test_the_admin_waits_and_then_shows_it(self, invoice: Invoice, asked: list[int]) -> None:
        client, url = leo(), page("billing_invoice", "pdf", invoice.pk)
        waiting = client.get(url)
        assert (waiting.status_code, asked) == (202, [invoice.pk])
        assert waiting.headers["Refresh"] == "2"
        assert "A worker is making the PDF" in said(waiting)
        tasks.make_pdf(invoice.pk)
        there = client.get(url)
        assert there.status_code == 200
        assert there.content.startswith(b"%PDF")
        assert asked == [invoice.pk]

    def test_the_api_answers_202_until_then(
        self, invoice: Invoice, asked: list[int], caller: Caller
    ) -> None:
        client, url = caller("billing:read"), f"/api/v1/invoices/{invoice.uuid}/pdf"
        waiting = client.get(url)
        assert (waiting.status_code, waiting.headers["Retry-After"]) == (202, "2")
        tasks.make_pdf(invoice.pk)
        assert client.get(url).status_code == 200

    def test_a_draft_that_was_redrawn_is_made_again(self, asked: list[int]) -> None:
        draft = paper.invoice(issued=False)
        tasks.make_pdf(draft.pk)
        assert tasks.printed(paper.loaded(draft))
        Customer.objects.update(name="Other")
        Invoice.objects.filter(pk=draft.pk).update(buyer=draft.buyer | {"legal_name": "Other"})
        assert tasks.printed(paper.loaded(draft)) is None

    def test_making_it_twice_changes_nothing(self, invoice: Invoice) -> None:
        tasks.make_pdf(invoice.pk)
        first = tasks.printed(paper.loaded(invoice))
        tasks.make_pdf(invoice.pk)
        assert tasks.printed(paper.loaded(invoice)) == first


GOLDEN: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "reverse charge": (
        {"tax": ("AE", "0"), "vat_id": "FR40303265045", "country": "FR"},
        (
            *("Your VAT ID FR40303265045", "Our VAT ID DE000000000"),
            *("API calls", "0 % 156.01", "Net total 658.91", "VAT 0 % on 658.91 0.00"),
            *("Invoice total €658.91", "Reverse charge 0 % 658.91 0.00 658.91"),
            "Reverse charge: the recipient is liable for the VAT (Article 196",
        ),
    ),
    "yen has no decimals": (
        {"currency": "JPY", "tax": ("S", "10")},
        (
            *("Amount due by 31 December 2026 JP¥725", "Net, JPY"),
            *("Platform base fee", "499 10 % 499", "API calls", "10 % 156"),
            *("50,000 2 per 1,000 100", "37,340 1.5 per 1,000 56.01", "Rounding −0.01"),
            *("32.5 120 per 1,000 3.9", "Rounding 0.1", "Net total 659", "VAT 10 % on 659 66"),
            "Invoice total JP¥725",
        ),
    ),
    "dinar have three": (
        {"currency": "KWD", "tax": ("S", "5")},
        (
            *("KWD 691.856", "499.000 5 % 499.000", "5 % 156.010", "50,000 0.002 100.000"),
            *("Net total 658.910", "VAT 5 % on 658.910 32.946", "Invoice total KWD 691.856"),
        ),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_documents_figure_by_figure(name: str) -> None:
    options, figures = GOLDEN[name]
    text = text_of(render(present(paper.invoice(**options))))
    at = 0
    for figure in figures:
        found = text.find(figure, at)
        assert found >= 0, f"{figure!r} is not in {text[at:]!r}"
        at = found


@pytest.mark.parametrize(
    ("amount", "has_code"),
    [
        pytest.param("€999,999,999.99", True, id="as large as a code for payment takes"),
        pytest.param("KWD\u00a0123,456,789,012.345", False, id="three decimals"),
        pytest.param("−KWD\u00a0999,999,999,999,999.999", False, id="as large as the books take"),
    ],
)
def test_what_is_due_is_never_broken(amount: str, *, has_code: bool) -> None:
    view = present(paper.invoice(seller={"iban": "DE89370400440532013000" if has_code else ""}))
    payment = replace(view.payment, amount=amount)
    assert (payment.code is not None) == has_code
    [first, *_] = PdfReader(BytesIO(render(replace(view, payment=payment)))).pages
    assert amount.replace("\u00a0", " ") in first.extract_text().replace("\u00a0", " ")


def test_a_month_within_the_allowance_is_a_statement_over_nothing() -> None:
    charge = paper.Charge("API calls", "per_unit | included 100 | at 0.5", "60", ("call", "calls"))
    text = text_of(render(present(paper.invoice(charge))))
    for figure in ("Nothing to pay €0.00", "60 calls", "Net total 0.00", "Invoice total €0.00"):
        assert figure in text, figure
    assert "IBAN" not in text
