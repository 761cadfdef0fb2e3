"""Who is taxed where: the place of supply of what one seller charges one buyer [pure].

Services are taxed where a business is established that buys them, and otherwise at the seller's
(Directive 2006/112/EC, Articles 44 and 45; 58 and the One-Stop-Shop for consumers). A customer's own
tax status, which somebody looked up, wins over all of that. Nothing here knows a database, a clock
or a setting.
"""

from __future__ import annotations

from typing import NamedTuple

EU = frozenset(
    ("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
     "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK")
)  # fmt: skip
"""The member states, as ISO 3166 writes them."""

RATED = "S"
"""The category of a treatment under which a country's rates apply."""

_PREFIXES = {"EL": "GR"}  # a VAT ID begins with its country's code, except in Greece
_STATED = {
    "exempt": ("E", "Exempt from tax"),
    "out_of_scope": ("O", "Not subject to tax"),
    "reverse_charge": ("AE", "Reverse charge"),
}


class Seller(NamedTuple):
    """What decides on tax at the seller: `status` says first whether it charges any.

    `country` is an ISO 3166 code or empty; `note` the law that frees it, printed on invoices.
    """

    name: str
    country: str
    vat_id: str
    status: str
    uses_oss: bool
    note: str = ""


class Buyer(NamedTuple):
    """What decides on tax at the buyer; `vat_country` is where its VAT ID is valid, or empty."""

    name: str
    country: str
    vat_country: str
    status: str
    note: str = ""


class Treatment(NamedTuple):
    """How all that a seller charges a buyer is taxed.

    `category` is EN 16931's; with `RATED` the rates of `country` apply (empty: the seller's own).
    `basis` says in a sentence why; `reason` why no tax is due; `lacks` what must be mended before
    an invoice may say so, empty if nothing.
    """

    category: str
    country: str
    basis: str
    reason: str = ""
    lacks: str = ""


def vat_country(vat_id: str) -> str:
    """Return the member state that a VAT ID names, whether or not it is valid; empty for none."""
    prefix = vat_id[:2].upper()
    country = _PREFIXES.get(prefix, prefix)
    return country if country in EU and prefix != "GR" else ""


def treat(seller: Seller, buyer: Buyer, names: dict[str, str]) -> Treatment:
    """Decide how a sale is taxed, and say why; `names` are countries' names, by code.

    Who is outside of tax or exempt charges none to anybody, so there is none to reverse either.
    """
    if seller.status in _STATED:
        category, reason = _STATED[seller.status]
        basis = f"{seller.name} charges no tax to anybody: {reason.lower()}."
        return Treatment(category, "", basis, seller.note or reason)
    if buyer.status in _STATED:
        return _stated(seller, buyer)
    if buyer.status == "standard":
        where = names.get(seller.country, "the seller’s country")
        basis = f"The tax status of {buyer.name} says that it is taxed in {where}."
        return Treatment(RATED, seller.country, basis)
    return _by_place(seller, buyer, names)


def _stated(seller: Seller, buyer: Buyer) -> Treatment:
    category, reason = _STATED[buyer.status]
    basis = f"The tax status of {buyer.name} says so: {reason.lower()}."
    lacks = _lacks(seller, buyer) if category == "AE" else ""
    return Treatment(category, "", basis, buyer.note or reason, lacks)


def _by_place(seller: Seller, buyer: Buyer, names: dict[str, str]) -> Treatment:
    home, there = seller.country, buyer.country or buyer.vat_country
    at_home, abroad = names.get(home, home), names.get(there, there)
    if not home or not there:
        whose = seller.name if not home else buyer.name
        basis = f"No country is known of {whose}, so the sale counts as one at the seller’s."
        return Treatment(RATED, home, basis)
    if there == home:
        return Treatment(RATED, home, f"Seller and buyer are both in {at_home}.")
    if there not in EU:
        return _outside(f"{buyer.name} is in {abroad}, outside the EU.")
    is_business = bool(buyer.vat_country) and buyer.vat_country != home
    if home not in EU:
        if seller.uses_oss and not is_business:
            return _at_the_consumer(buyer, there, abroad)
        return _outside(f"{seller.name} is in {at_home} and {buyer.name} in {abroad}.")
    if is_business:
        basis = f"{buyer.name} is a business in {abroad} by its VAT ID, so it owes the tax there."
        return Treatment("AE", "", basis, "Reverse charge", _lacks(seller, buyer))
    if seller.uses_oss:
        return _at_the_consumer(buyer, there, abroad)
    basis = f"{buyer.name} is in {abroad} without a VAT ID of another member state, and "
    basis += f"{seller.name} does not use the One-Stop-Shop: taxed in {at_home}."
    return Treatment(RATED, home, basis)


def _outside(where: str) -> Treatment:
    return Treatment("O", "", f"{where} The sale is taxed there, not here.", "Not subject to tax")


def _at_the_consumer(buyer: Buyer, country: str, name: str) -> Treatment:
    basis = f"{buyer.name} is in {name} without a VAT ID: taxed there, by the One-Stop-Shop."
    return Treatment(RATED, country, basis)


def _lacks(seller: Seller, buyer: Buyer) -> str:
    """Say which VAT ID is missing that a reverse charge must name (Article 226 (3) and (4))."""
    if not buyer.vat_country:
        return (
            f"Reverse charge needs a valid VAT ID of {buyer.name}: enter it on the customer, "
            "or choose another tax status."
        )
    if not seller.vat_id:
        return f"Reverse charge needs the VAT ID of {seller.name}: enter it on the issuer."
    return ""
