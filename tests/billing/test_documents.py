"""The PDF itself: its text, its bytes, where they are kept, and what it will not fetch."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree

import pytest
import tinyhtml5
from django.conf import LazySettings
from django.db import connections
from pypdf import PdfReader
from pypdf.generic import StreamObject

from billing import documents, typesetting
from billing.documents import (
    DocumentDamaged,
    DocumentNotIssued,
    document_path,
    pdf_of,
    render,
    store_document,
)
from billing.models import Invoice, InvoiceDocument, LineKind
from billing.presentation import InvoiceView, present
from billing.typesetting import FetchRefused, typeset
from tests.billing.paper import (
    API_CALLS,
    BASE_FEE,
    MIDNIGHT,
    STORAGE,
    Charge,
    invoice,
    loaded,
    trend,
    two_pages,
    void,
)

pytestmark = [pytest.mark.once, pytest.mark.unaudited]

ROOT = Path(__file__).resolve().parents[2]
CALLS = ("call", "calls")


@pytest.fixture(autouse=True)
def data_dir(settings: LazySettings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def pages(pdf: bytes) -> list[str]:
    """Read each page's text, with every space and hyphen as typed on a keyboard."""
    texts = (page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)
    return [re.sub(r"[\s\u00a0]+", " ", text).replace("\u2011", "-") for text in texts]


def text_of(view: InvoiceView) -> str:
    return " ".join(pages(render(view)))


def in_order(text: str, *figures: str) -> None:
    """Assert that the figures stand in the text in this order."""
    at = 0
    for figure in figures:
        found = text.find(figure, at)
        assert found >= 0, f"{figure!r} is not in {text[at:]!r}"
        at = found + len(figure)


@pytest.mark.django_db
def test_the_worked_example_cent_by_cent() -> None:
    in_order(
        text_of(present(invoice())),
        *("Northlight Data", "Fernwood Analytics GmbH", "20457 Hamburg"),
        *("Invoice", "INV-2026-000117", "1 Dec 2026", "31 Dec 2026", "1–30 Nov 2026"),
        *("fernwood", "PO-4471", "DE111111111", "DE000000000"),
        *("Amount due by 31 December 2026", "€784.10", "DE00 0000", "INV-2026-000117"),
        *("API calls", "187,340", "100,000", "87,340", "Storage", "82.5", "50", "32.5"),
        *("Description", "Period", "Quantity", "Unit price", "VAT", "Net, EUR"),
        *("Platform base fee", "1–31 Dec 2026", "1 month", "499.00", "19 %", "499.00"),
        *("API calls", "1–30 Nov 2026", "187,340 calls", "19 %", "156.01"),
        *("Included in your plan", "100,000", "0.00", "0.00"),
        *("First 50,000 calls over", "50,000", "2.00 per 1,000", "100.00"),
        *("Above 50,000 calls over", "37,340", "1.50 per 1,000", "56.01"),
        *("Storage", "82.5 GB-months", "19 %", "3.90"),
        *("Included in your plan", "50", "0.00", "0.00"),
        *("Over the allowance", "32.5", "0.12", "3.90"),
        *("Net total", "658.91", "VAT 19 % on 658.91", "125.19", "Invoice total", "€784.10"),
        *("Standard rate", "19 %", "658.91", "125.19", "784.10"),
    )


@pytest.mark.django_db
def test_the_worked_example_in_german() -> None:
    in_order(
        text_of(present(invoice(locale="de-DE"))),
        *("Rechnung", "01.12.2026", "Zahlbar bis 31. Dezember 2026", "784,10 €"),
        *("API calls", "187.340", "100.000", "87.340"),
        *("Beschreibung", "Zeitraum", "Menge", "Einzelpreis", "USt", "Netto, EUR"),
        *("Platform base fee", "1 Monat", "499,00", "19 %", "499,00"),
        *("187.340 calls", "156,01", "Im Tarif enthalten", "100.000", "0,00"),
        *("50.000", "2,00 je 1.000", "100,00", "37.340", "1,50 je 1.000", "56,01"),
        *("82,5 GB-months", "3,90", "32,5", "0,12", "3,90"),
        *("Nettobetrag", "658,91", "USt 19 % auf 658,91", "125,19", "784,10 €"),
        *("Regelsatz", "19 %", "658,91", "125,19", "784,10"),
    )


SIX_CALLS = trend(
    *("98200/100000", "104300/100000", "118000/100000"),
    *("128000/100000", "149800/100000", "187340/100000"),
)
SIX_GB = trend("44/50", "52.5/50", "58/50", "64.2/50", "71/50", "82.5/50")
WITH_TREND = (BASE_FEE, replace(API_CALLS, said=SIX_CALLS), replace(STORAGE, said=SIX_GB))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("locale", "caption", "figures"),
    [
        ("en-GB", "June to November, dashed line: included", "June: 98,200 of 100,000 included; "),
        ("de-DE", "Juni bis November, gestrichelt: enthalten", "Juni: 98.200 von 100.000 enthal"),
    ],
)
def test_the_trend_is_captioned_and_read_out(locale: str, caption: str, figures: str) -> None:
    pdf = render(present(invoice(*WITH_TREND, locale=locale)))
    in_order(" ".join(pages(pdf)), "187", caption, "82", caption)
    root: Any = PdfReader(BytesIO(pdf)).root_object
    pictures = [alt for alt in _alternatives(root["/StructTreeRoot"]["/K"]) if alt]
    assert len(pictures) == 4  # a meter and a trend each
    assert figures in pictures[1]


def _alternatives(node: Any) -> list[str]:
    """Collect the texts that stand for pictures, in reading order."""
    node = node.get_object() if hasattr(node, "get_object") else node
    if isinstance(node, list):
        return [alt for child in node for alt in _alternatives(child)]
    if not isinstance(node, dict):
        return []
    return [str(node.get("/Alt", "")), *_alternatives(node.get("/K", []))]


@pytest.mark.django_db
@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
@pytest.mark.parametrize("charges", [(), WITH_TREND], ids=["without a past", "with six periods"])
def test_one_page_holds_the_worked_example_and_says_so(
    charges: tuple[Charge, ...], locale: str
) -> None:
    [page] = pages(render(present(invoice(*charges, locale=locale))))
    word = {"en-GB": "Page 1 of 1", "de-DE": "Seite 1 von 1"}[locale]
    assert f"INV-2026-000117 · {word}" in page


@pytest.mark.django_db
def test_the_document_is_tagged_titled_and_dated() -> None:
    pdf = PdfReader(BytesIO(render(present(invoice(locale="de-DE")))))
    assert pdf.metadata is not None
    assert pdf.metadata.title == "Rechnung INV-2026-000117 · Northlight Data"
    assert pdf.metadata.author == "Northlight Data"
    assert pdf.metadata.creation_date == MIDNIGHT
    root: Any = pdf.root_object
    assert root["/Lang"] == "de-DE"
    assert root["/MarkInfo"]["/Marked"]
    tags = str(_tags(root["/StructTreeRoot"]["/K"]))
    assert all(tag in tags for tag in ("/H1", "/H2", "/Table", "/TH", "/TD", "/Figure"))
    fonts = {str(font["/BaseFont"]) for page in pdf.pages for font in _fonts(page)}
    assert fonts
    assert all("Inter" in font for font in fonts)


def _tags(node: Any) -> list[str]:
    if isinstance(node, list):
        return [tag for child in node for tag in _tags(child)]
    node = node.get_object() if hasattr(node, "get_object") else node
    if isinstance(node, list):
        return _tags(node)
    return [str(node.get("/S")), *_tags(node.get("/K", []))] if isinstance(node, dict) else []


def _fonts(page: Any) -> list[Any]:
    return [font.get_object() for font in page["/Resources"]["/Font"].values()]


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "template": "{{7*7}} {% include 'x' %}",
    "style": "</style></title></table><h1>Paid</h1>",
    "entity": "&lt;b&gt; &amp; \"quoted\" 'text'",
    "css": "red; } * { display: none",
}


@pytest.mark.django_db
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    hostile = invoice(
        Charge(text, "per_unit | at 1", "5", (text, text)), legal_name=text, seller={"name": text}
    )
    squeezed = text_of(present(hostile)).replace(" ", "").replace("-", "")
    assert squeezed.count(text.replace(" ", "")) >= 3
    assert "49" not in squeezed.replace("INV2026000117", "")


@pytest.mark.django_db
def test_names_without_end_and_text_turned_around_do_no_harm() -> None:
    name = "\u202eevil\u202c " + "A" * 100_000
    view = present(invoice(Charge("🧾 " + "B" * 150, "per_unit | at 1", "5"), legal_name=name))
    assert "evil" in view.buyer.lines[0]
    assert len(view.buyer.lines[0]) == 300
    assert len(PdfReader(BytesIO(render(view))).pages) <= 3


LONG = {"legal_name": 200, "attention": 200, "line1": 200, "line2": 200, "city": 100, "region": 100,
        "purchase_order": 100, "buyer_reference": 100}  # fmt: skip
ABOVE_THE_FOOTER = 56.7  # points: the 20 mm below which only the footer is


def _heights(pdf: bytes, letter: str) -> list[float]:
    """Return how high above the foot of the first page stands what is written in this letter alone."""
    found: list[float] = []

    def look(text: str, moved: Any, at: Any, *_: object) -> None:
        if letter in text and not set(text) - {letter, "…", "\n"}:
            found.append(moved[5] + moved[3] * at[5])

    PdfReader(BytesIO(pdf)).pages[0].extract_text(visitor_text=look)
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("letter", ["W", "漢", "﷽", "i"])
def test_an_address_of_wide_letters_stays_above_the_footer(letter: str) -> None:
    fields: dict[str, Any] = {name: letter * length for name, length in LONG.items()}
    heights = _heights(render(present(invoice(**fields))), letter)
    assert len(heights) > 10
    assert min(heights) > ABOVE_THE_FOOTER


@pytest.mark.django_db
@pytest.mark.parametrize("letter", ["W", "漢", "﷽"])
def test_a_footer_without_end_stays_on_the_page(letter: str) -> None:
    fields = {name: letter * LONG[name] for name in ("legal_name", "line1", "line2")}
    seller = {**fields, "name": letter * 200, "footer_text": letter * 200}
    heights = _heights(render(present(invoice(seller=seller))), letter)
    assert 8 < min(heights) < ABOVE_THE_FOOTER
    assert sum(height < ABOVE_THE_FOOTER for height in heights) == 4


@pytest.mark.django_db
def test_an_address_as_long_as_a_form_takes_is_printed_whole() -> None:
    name = ("Gesellschaft für die Verwaltung von Wasserwegen " * 5)[:200].strip()
    text = text_of(present(invoice(legal_name=name, line1=name)))
    assert text.replace(" ", "").count(name.replace(" ", "")) == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["株式会社サンプル", "한국 주식회사", "שלום בע״מ", "شركة المثال", "Ωμέγα", "Жук", "ไทย"]
)
def test_names_in_other_scripts_have_their_letters(name: str) -> None:
    pdf = PdfReader(BytesIO(render(present(invoice(legal_name=name)))))
    fonts = {str(font["/BaseFont"]) for page in pdf.pages for font in _fonts(page)}
    families = ("+Inter", "+Invoice-")  # as the style sheet names the packaged fonts
    assert all(any(family in font for family in families) for font in fonts), fonts


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server that answers nothing and remembers who asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()


FETCHING = {
    "picture": '<img src="{url}/a.png">',
    "style sheet": '<link rel="stylesheet" href="{url}/a.css">',
    "attachment": '<link rel="attachment" href="{url}/a.txt">',
    "import": "<style>@import url({url}/b.css); @font-face {{font-family:x;src:url({url}/f)}}</style>",
    "background": '<p style="background: url({url}/c.png)">x</p>',
    "drawing": '<svg><image href="{url}/d.png"/><use href="{url}/e.svg#x"/></svg>',
    "base": '<base href="{url}/"><img src="relative.png">',
    "object": '<object data="{url}/o"></object><embed src="{url}/e">',
}


@pytest.mark.django_db
@pytest.mark.parametrize("markup", FETCHING.values(), ids=FETCHING)
def test_a_customers_text_fetches_nothing(
    markup: str, listener: tuple[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    url, asked = listener
    text = markup.format(url=url)
    view = present(invoice(Charge(text, "per_unit | at 1", "5"), legal_name=text, attention=text))
    with caplog.at_level(logging.DEBUG, logger="weasyprint"):
        pdf = render(view)
    assert asked == []
    assert "/EmbeddedFiles" not in str(PdfReader(BytesIO(pdf)).root_object)


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["{url}", "file:///etc/hostname?", "fonts:../documents.py?"])
@pytest.mark.parametrize("markup", FETCHING.values(), ids=FETCHING)
def test_even_markup_that_got_in_fetches_nothing(
    markup: str,
    scheme: str,
    listener: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Suppose that escaping failed: the fetcher still refuses."""
    url, asked = listener
    text = f"<html lang=en><title>x</title><body>{markup.format(url=scheme.format(url=url))}"
    html = ElementTree.tostring(tinyhtml5.parse(text, namespace_html_elements=False), "unicode")
    view = present(invoice(BASE_FEE))
    typesetting.engine()  # with the real style sheet, which the next line would replace
    monkeypatch.setattr(documents, "render_to_string", lambda *_: html)
    pdf = render(view)
    hostname = Path("/etc/hostname").read_bytes().strip()
    assert asked == []
    assert "/EmbeddedFiles" not in str(PdfReader(BytesIO(pdf)).root_object)
    assert hostname not in pdf


def test_the_fetcher_knows_packaged_fonts_and_inline_pictures_only() -> None:
    fetch: Callable[[str], Any] = typesetting.engine().fetcher.fetch
    assert fetch("fonts:Inter-Regular.woff2").read(4) == b"wOF2"
    assert fetch("data:image/png;base64,iVBORw0KGgo=").read(4) == b"\x89PNG"
    for url in (
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "ftp://example.com/",
        "data:text/css,*{}",
        "fonts:README.md/../../documents.py",
        "fonts:/etc/passwd",
    ):
        with pytest.raises(FetchRefused):
            fetch(url)


@pytest.mark.django_db
def test_an_error_that_would_end_the_process_is_an_ordinary_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = present(invoice(BASE_FEE))
    engine = typesetting.engine()

    def fatal(_: object) -> None:
        raise engine.fatal("no")

    monkeypatch.setattr(typesetting, "engine", lambda: engine._replace(page=fatal))
    with pytest.raises(FetchRefused):
        render(view)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("currency", "figures"),
    [
        ("JPY", ["JP¥784", "156", "56.01", "−0.01", "659", "125"]),
        ("KWD", ["KWD 784.103", "156.010", "3.900", "658.910", "125.193"]),
    ],
)
def test_currencies_with_other_decimals(currency: str, figures: list[str]) -> None:
    in_order(text_of(present(invoice(currency=currency))), *figures)


@pytest.mark.django_db
def test_large_quantities_and_long_prices_lose_no_digit() -> None:
    charge = Charge("API calls", "per_unit | at 0.123456789012", "1000000000", CALLS)
    in_order(
        text_of(present(invoice(charge))),
        "1,000,000,000",
        "123,456,789.01",
        "0.123456789012",
        "123,456,789.012",
        "−0.002",
    )


@pytest.mark.django_db
@pytest.mark.parametrize("quantity", ["170.86", "1,234.56"])
def test_a_quantity_and_its_unit_stand_on_one_line(quantity: str) -> None:
    bare = quantity.replace(",", "")
    charge = Charge("Storage", "per_unit | at 0.12", bare, ("GB-month", "GB-months"))
    [page] = PdfReader(BytesIO(render(present(invoice(charge))))).pages
    text = page.extract_text().replace("\u2011", "-")
    assert any(f"{quantity} GB-months" in line for line in text.splitlines())


@pytest.mark.django_db
def test_in_advance_stands_beside_the_name_of_the_fee() -> None:
    [page] = PdfReader(BytesIO(render(present(invoice(BASE_FEE))))).pages
    assert any("Platform base fee in advance" in line for line in page.extract_text().splitlines())


@pytest.mark.django_db
def test_two_hundred_lines_over_many_pages() -> None:
    charges = [
        Charge(f"Metric no. {i:03}", "per_unit | included 10 | at 0.0125", str(11 + i), CALLS)
        for i in range(200)
    ]
    view = present(invoice(BASE_FEE, *charges))
    found = pages(render(view))
    assert len(found) > 5
    for number, page in enumerate(found, start=1):
        assert f"INV-2026-000117 · Page {number} of {len(found)}" in page
        assert "Description Period Quantity" in page  # the header row, repeated
    charged = " ".join(found).split("Charges", 1)[1]
    in_order(charged, *[f for line in view.lines for f in (line.name, line.net)])
    assert "Metric no. 199" in found[-1]  # totals never stand alone
    in_order(found[-1], "Metric no. 199", "Net total", "Invoice total", "Standard rate")
    for line in view.lines:  # the rows of a line stay together
        [page] = [page for page in found[1:] or found if f"{line.name} 1" in page] or [found[0]]
        assert line.net in page


@pytest.mark.django_db
@pytest.mark.parametrize("lines", range(2, 16))
def test_totals_are_never_orphaned(lines: int) -> None:
    charges = [
        Charge(f"Licence {i:02}", "flat | at 5", kind=LineKind.FEE) for i in range(lines + 8)
    ]
    for page in pages(render(present(invoice(*charges)))):
        if "Net total" in page:
            assert f"Licence {lines + 7:02}" in page
        assert ("Standard rate" in page) == ("Net total" in page)  # nor does VAT stand alone


@pytest.mark.django_db
def test_the_same_view_gives_the_same_bytes() -> None:
    view = present(invoice(*WITH_TREND))
    first = render(view)
    render(present(invoice(legal_name="株式会社", locale="de")))
    assert render(view) == first
    assert render(replace(view, number="INV-2026-000118")) != first


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    script = """
import django; django.setup()
from hashlib import sha256
from datetime import UTC, datetime
from billing.documents import render
from billing.presentation import InvoiceView, PartyView, PaymentView
from billing.presentation.colours import palette
from billing.presentation.words import WORDS
party = PartyView("Fernwood", ("Fernwood",), "Fernwood")
print(sha256(render(InvoiceView("en", WORDS["en"], palette(""), "EUR", "Invoice", "Invoice 1", "1",
    "", party, party, (), PaymentView("Due", "1", "", ()), "", (), "", None, (), "Net", (), (), (),
    None, (), (), (), (), (), (), "00" * 16, datetime(2026, 12, 1, tzinfo=UTC)))).hexdigest())
"""
    assert len({_run(script, tmp_path / str(i)) for i in range(2)}) == 1


def _run(script: str, data_dir: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATA_DIR": str(data_dir),
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_machine_without_pango_starts_and_says_what_to_install(tmp_path: Path) -> None:
    script = """
import django; django.setup()
import cffi
def dlopen(self, name, flags=0):
    raise OSError(f"cannot load library {name!r}")
cffi.FFI.dlopen = dlopen
from billing import documents, typesetting
try:
    documents.render(None)
except typesetting.PdfEngineMissing as refusal:
    print(refusal.status, refusal)
"""
    said = _run(script, tmp_path).splitlines()[-1]
    assert said.startswith("503 ")
    assert said.endswith("apt-get install libpangoft2-1.0-0 libharfbuzz-subset0")


@pytest.mark.django_db
def test_an_issued_invoice_is_kept_once(data_dir: Path) -> None:
    issued = invoice()
    document = store_document(issued.pk)
    path = document_path(document.sha256)
    assert path.is_relative_to(data_dir / "documents")
    pdf = path.read_bytes()
    assert (sha256(pdf).hexdigest(), len(pdf)) == (document.sha256, document.size_bytes)
    assert store_document(issued.pk) == document
    assert pdf_of(loaded(issued)) == pdf
    assert InvoiceDocument.objects.count() == 1
    assert [file.name for file in data_dir.rglob("*") if file.is_file()] == [path.name]


@pytest.mark.django_db
def test_asking_for_the_pdf_of_an_issued_invoice_keeps_it() -> None:
    issued = invoice()
    pdf = pdf_of(issued)
    assert InvoiceDocument.objects.get().sha256 == sha256(pdf).hexdigest()
    issued.customer.name = "Renamed"
    issued.customer.save()
    assert pdf_of(loaded(issued)) == pdf


@pytest.mark.django_db
def test_a_draft_is_marked_and_not_kept(data_dir: Path) -> None:
    draft = invoice(issued=False)
    assert "DRAFT" in " ".join(pages(pdf_of(draft)))
    with pytest.raises(DocumentNotIssued):
        store_document(draft.pk)
    assert not InvoiceDocument.objects.exists()
    assert not list(data_dir.iterdir())


@pytest.mark.django_db
def test_a_void_invoice_is_marked_and_its_kept_document_stays() -> None:
    voided = invoice()
    document = store_document(voided.pk)
    void(voided)
    assert "VOID" in " ".join(pages(pdf_of(voided)))
    assert InvoiceDocument.objects.get() == document


@pytest.mark.django_db
def test_a_run_killed_before_the_rename_leaves_no_document(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = invoice()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            store_document(issued.pk)
    assert not list(data_dir.rglob("*.pdf"))
    assert not InvoiceDocument.objects.exists()
    assert pdf_of(issued)


@pytest.mark.django_db
def test_a_lost_document_is_made_again_and_a_changed_one_never_served(data_dir: Path) -> None:
    issued = invoice()
    pdf = pdf_of(issued)
    [path] = data_dir.rglob("*.pdf")
    path.write_bytes(pdf[:-1] + b"x")
    assert pdf_of(loaded(issued)) == pdf
    path.unlink()
    assert pdf_of(loaded(issued)) == pdf == path.read_bytes()


@pytest.mark.django_db
def test_a_lost_document_that_would_differ_is_reported(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = invoice()
    pdf_of(issued)
    [path] = data_dir.rglob("*.pdf")
    path.unlink()
    monkeypatch.setattr(documents, "render", lambda *_: b"another layout")
    with pytest.raises(DocumentDamaged):
        pdf_of(loaded(issued))
    assert not path.exists()


@pytest.mark.django_db(transaction=True)
def test_two_at_once_keep_one_document(data_dir: Path) -> None:
    issued = invoice()

    def keep(_: int) -> str:
        try:
            return store_document(issued.pk).sha256
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        hashes = set(pool.map(keep, range(8)))
    assert len(hashes) == 1
    assert InvoiceDocument.objects.count() == 1
    assert len([file for file in data_dir.rglob("*") if file.is_file()]) == 1
    assert Invoice.objects.get() == issued


@pytest.mark.django_db
def test_a_file_has_each_object_that_weasyprint_itself_would_write() -> None:
    view, ours = two_pages(), typesetting.engine()
    plain = (
        ours.page(typesetting._tree(documents.html_of(view)))
        .render(font_config=ours.fonts, stylesheets=[ours.stylesheet], pdf_variant="pdf/ua-1")
        .write_pdf(pdf_variant="pdf/ua-1")
    )
    packed = render(view)
    assert objects(packed) == objects(plain)
    assert len(packed) < 1.1 * len(plain)


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("width: 40mm", "Ein Satz, der über mehrere Zeilen läuft und dann endet."),
        ("width: 22mm; hyphens: auto", "Nutzungsabrechnungsgesellschaft, Speicherplatzbedarf"),
        ("width: 22mm", "Nutzungs\u00adabrechnungs\u00adgesellschaft"),
        ("width: 9mm; overflow-wrap: anywhere", "0123456789012345678901234567890"),
        ("width: 45mm; text-align: justify", "words that are spread over all of the line " * 3),
        ("letter-spacing: 0.1em; font-variant-numeric: tabular-nums", "1,234.50 EUR"),
        ("white-space: pre", "one\ntwo\n\tthree"),
        (
            "width: 30mm; overflow: hidden; white-space: nowrap; text-overflow: ellipsis",
            "cut " * 20,
        ),
        ("width: 40mm; text-decoration: underline", "שלום עולם abc مرحبا é x" * 3),
    ],
)
def test_a_line_is_painted_as_if_it_were_laid_out_for_that(
    style: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weasyprint.text import line_break  # noqa: PLC0415

    page = f'<html lang="de"><head></head><body><p style="{style}">{text}</p></body></html>'
    typesetting.engine()
    kept = typeset(page, bytes(16))
    [_, plain, *_] = line_break.Layout.__mro__
    monkeypatch.setattr(line_break, "Layout", plain)
    assert kept == typeset(page, bytes(16))


@pytest.mark.django_db
def test_a_file_is_named_by_its_document_and_by_its_content() -> None:
    view = two_pages()
    document, content = identifiers(render(view))
    assert document.hex() == view.identifier
    assert identifiers(render(unlike(view)))[0] == document
    assert identifiers(render(unlike(view)))[1] != content


@pytest.mark.django_db
def test_our_few_defaults_are_those_of_all_html() -> None:
    """WeasyPrint with its own parser and its own style sheet paints the very same pages."""
    import weasyprint  # noqa: PLC0415 # it needs Pango

    view, ours = two_pages(), typesetting.engine()
    plain = weasyprint.HTML(string=documents.html_of(view), url_fetcher=ours.fetcher).write_pdf(
        stylesheets=[ours.stylesheet], font_config=ours.fonts, pdf_variant="pdf/ua-1"
    )
    assert painted(render(view)) == painted(plain)


def painted(pdf: bytes) -> list[bytes]:
    """Return what each page paints."""
    pages = [page.get_contents() for page in PdfReader(BytesIO(pdf)).pages]
    return [content.get_data() for content in pages if content]


def objects(pdf: bytes) -> list[str | bytes]:
    """Return each object of a PDF but those that say where the others are."""
    reader = PdfReader(BytesIO(pdf), strict=True)
    found: list[str | bytes] = []
    size: Any = reader.trailer["/Size"]
    for number in range(1, size):
        one = reader.get_object(number)
        if isinstance(one, StreamObject):
            if one.get("/Type") not in ("/ObjStm", "/XRef"):
                found.append(one.get_data())
        else:
            found.append(re.sub(r"(IndirectObject\(\d+, \d+), \d+", r"\1", str(one)))
    return found


def identifiers(pdf: bytes) -> list[bytes]:
    told: Any = PdfReader(BytesIO(pdf)).trailer["/ID"]
    return [one.original_bytes for one in told]


def unlike(view: InvoiceView) -> InvoiceView:
    return replace(view, footer=("Something else.",))
