"""Rows as they come on paper, written down for a machine: valid whatever they say, and carried whole."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import pytest
from pypdf import PdfReader

from billing import documents
from billing.electronic.carrying import xml_in
from billing.electronic.units import unit_code
from billing.electronic.writing import electronic_invoice
from billing.models import Invoice, LineKind
from billing.presentation import present
from tests.billing.machine import ON, Machine
from tests.billing.paper import API_CALLS, BASE_FEE, STORAGE, Charge, invoice
from tests.billing.schematron import broken_rules, stop_engine

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.unaudited]
D = Decimal


@pytest.fixture(scope="module", autouse=True)
def _one_engine() -> Iterator[None]:
    yield
    stop_engine()


def on_paper(*charges: Charge, **terms: Any) -> Invoice:
    """An issued invoice of a seller of electronic ones."""
    own = {**terms.pop("seller", {}), **ON}
    return invoice(*charges, seller=own, **{"vat_id": "DE129273398", **terms})


@pytest.mark.parametrize(
    ("charges", "terms"),
    [
        pytest.param((BASE_FEE, API_CALLS, STORAGE), {}, id="the worked example"),
        pytest.param(
            (BASE_FEE, API_CALLS, STORAGE), {"currency": "JPY", "tax": ("S", "10")}, id="yen"
        ),
        pytest.param((BASE_FEE,), {"tax": ("Z", "0")}, id="zero rated"),
        pytest.param((API_CALLS,) * 200, {}, id="two hundred lines"),
        pytest.param(
            (Charge("Storage", "per_unit | at 0.000000000001", "1000000000", ("GB", "GB")),),
            {},
            id="a price of twelve decimals",
        ),
        pytest.param(
            (Charge("Calls", "per_unit | at 0.5 | min 100", "3", ("call", "calls")),),
            {},
            id="a minimum charge",
        ),
        pytest.param(
            (Charge("<script>&amp;\u202e\ufffe{{ 7*7 }}", "flat | at 1", kind=LineKind.FEE),),
            {"legal_name": "A & B <i> \uffff", "purchase_order": "]]>"},
            id="names that are no text",
        ),
        pytest.param((BASE_FEE,), {"locale": "de-DE"}, id="in German"),
        pytest.param((BASE_FEE,), {"email": "", "vat_id": "", "region": "Hamburg"}, id="without"),
        pytest.param((BASE_FEE,), {"seller": {"iban": "", "bic": ""}}, id="no bank account"),
        pytest.param((BASE_FEE,), {"payment_terms_days": 0}, id="due on receipt"),
    ],
)
def test_whatever_is_on_paper_is_valid(charges: tuple[Charge, ...], terms: Any) -> None:
    found = on_paper(*charges, **terms)
    xml = electronic_invoice(found)
    assert broken_rules(xml) == []
    assert electronic_invoice(found) == xml
    told = Machine(xml)
    assert len(told.lines) == len(present(found).lines)
    assert D(told.total("GrandTotalAmount")) == found.total


@pytest.mark.parametrize(
    ("charge", "figures"),
    [
        pytest.param(
            Charge("Storage", "per_unit | at 0.12", "32.5", ("GB", "GB")),
            ("32.5", "0.12", "3.90"),
            id="quantity and price where they give the net",
        ),
        pytest.param(
            Charge("Calls", "per_unit | at 0.333", "10", ("call", "calls")),
            ("10", "0.333", "3.33"),
            id="rounded once at the line",
        ),
        pytest.param(API_CALLS, ("1", "156.01", "156.01"), id="tiers: the net, rows as a note"),
        pytest.param(
            Charge("Calls", "per_unit | at 2 | max 5", "10", ("call", "calls")),
            ("1", "5.00", "5.00"),
            id="a cap: the net",
        ),
    ],
)
def test_quantity_times_price_is_the_net(charge: Charge, figures: tuple[str, ...]) -> None:
    [line] = Machine(electronic_invoice(on_paper(charge))).lines
    assert line[1:] == figures


def test_units_have_the_codes_of_rec_20() -> None:
    coded = {unit: unit_code(unit) for unit in ("GB", "hour", " Month ", "kWh", "call", "")}
    assert list(coded.values()) == ["E34", "HUR", "MON", "KWH", "C62", "C62"]


# The paper that carries it


def test_the_paper_carries_it_for_archives() -> None:
    found = on_paper()
    xml = documents.xml_of(found)
    assert xml
    pdf = documents.render(present(found), xml)
    assert documents.render(present(found), xml) == pdf
    reader = PdfReader(BytesIO(pdf))
    root: Any = reader.root_object
    [file] = root["/AF"]
    assert (file["/AFRelationship"], file["/F"]) == ("/Alternative", "factur-x.xml")
    assert root["/OutputIntents"][0]["/S"] == "/GTS_PDFA1"
    assert root["/MarkInfo"]["/Marked"]
    stated = root["/Metadata"].get_object().get_data().decode()
    assert 'pdfaid:part="3" pdfaid:conformance="B"' in stated
    assert "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in stated
    assert stated.count("<rdf:RDF") == 1
    ElementTree.fromstring(stated[stated.index("<x:xmpmeta") : stated.index("<?xpacket end")])
    assert xml_in(pdf) == xml
