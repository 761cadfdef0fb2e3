"""An electronic invoice as a machine reads it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

NAMES = {
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
}
COMPLETE = {
    "legal_name": "Northlight Data GmbH",
    "line1": "Torstraße 1",
    "postal_code": "10119",
    "city": "Berlin",
    "country": "DE",
    "vat_id": "DE136695976",
    "iban": "DE89370400440532013000",
    "bic": "COBADEFFXXX",
    "register_entry": "Amtsgericht Berlin HRB 000000",
    "legal_text": "Ownership passes on payment.\nLate payment bears interest.",
}
ON = {**COMPLETE, "electronic_invoices": True}


class Machine:
    """What a machine reads of an invoice, by the names of its elements."""

    def __init__(self, xml: bytes) -> None:
        self.root = ElementTree.fromstring(xml)

    def all(self, path: str, within: Any = None) -> list[str]:
        steps = "/".join(f"ram:{step}" for step in path.split("/"))
        found = (self.root if within is None else within).findall(f".//{steps}", NAMES)
        return ["".join(one.itertext()).strip() for one in found]

    def __getitem__(self, path: str) -> str:
        [found] = self.all(path)
        return found

    @property
    def kind(self) -> str:
        """380 is an invoice, 381 a credit note (UNTDID 1001)."""
        found = self.root.find(".//{*}ExchangedDocument/{*}TypeCode")
        assert found is not None
        return found.text or ""

    def total(self, name: str) -> str:
        return self[f"SpecifiedTradeSettlementHeaderMonetarySummation/{name}"]

    @property
    def lines(self) -> list[tuple[str, str, str, str]]:
        """Name, quantity, price and net of each line."""
        each = self.root.findall(".//ram:IncludedSupplyChainTradeLineItem", NAMES)
        paths = ("Name", "BilledQuantity", "ChargeAmount", "LineTotalAmount")
        return [tuple(self.all(path, one)[0] for path in paths) for one in each]  # type: ignore[misc]

    @property
    def notes(self) -> list[str]:
        return self.all("AssociatedDocumentLineDocument/IncludedNote/Content")
