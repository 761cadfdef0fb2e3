"""What an electronic invoice must be able to say of its seller and its buyer (EN 16931)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from config.base.errors import Fault
from customers.models import FIRST_NAME, SellerTaxStatus
from customers.parties import COUNTRIES


class Demand(NamedTuple):
    """What is asked of a seller: the field that says it, what it is, the rule, whether it is there."""

    field: str
    what: str
    rule: str
    is_met: bool


def seller_demands(issuer: Mapping[str, Any]) -> Iterator[Demand]:
    """Yield all that an electronic invoice names of its seller; give the issuer's fields.

    Out of scope of tax, or with a tax number, the register entry identifies it as well as a VAT ID
    (BR-CO-26, BR-S-02, BR-O-02).
    """
    name, vat_id = issuer.get("legal_name"), str(issuer.get("vat_id") or "")
    yield Demand("legal_name", "registered name", "BR-06", bool(name) and name != FIRST_NAME)
    yield Demand("line1", "address", "BG-5", bool(issuer.get("line1")))
    yield Demand("city", "city", "BG-5", bool(issuer.get("city")))
    yield Demand("country", "country", "BR-09", bool(issuer.get("country")))
    is_untaxed = issuer.get("tax_status") == SellerTaxStatus.OUT_OF_SCOPE
    if is_untaxed and not vat_id:
        has_entry = bool(issuer.get("register_entry"))
        yield Demand("register_entry", "VAT ID or register entry", "BR-CO-26", has_entry)
    elif not vat_id and issuer.get("tax_number"):
        has_entry = bool(issuer.get("register_entry"))
        yield Demand("register_entry", "register entry or VAT ID", "BR-CO-26", has_entry)
    else:
        what = "VAT ID, which begins with a country, or tax number"
        yield Demand("vat_id", what, "BR-CO-09", names_country(vat_id))


def seller_faults(issuer: Mapping[str, Any]) -> Iterator[Fault]:
    """Find what an issuer lacks that is to make electronic invoices; paths are its fields."""
    for demand in seller_demands(issuer):
        if not demand.is_met:
            message = (
                f"Electronic invoices name your {demand.what}: fill it in, or switch them off."
            )
            yield Fault((demand.field,), "required_for_electronic_invoices", message)


def names_country(vat_id: str) -> bool:
    """Say whether a VAT ID begins with its country, as EN 16931 asks of one (BR-CO-09)."""
    prefix = vat_id[:2].upper()
    return prefix in COUNTRIES or prefix == "EL"
