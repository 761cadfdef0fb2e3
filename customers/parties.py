"""What a party's codes may say: currency, zone, language, country, VAT ID."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from babel import Locale, UnknownLocaleError

from catalog.money import CURRENCIES
from config.base.errors import Fault
from customers.periods import UnknownTimeZone, zone
from customers.vat_ids import is_valid_vat_id, vat_id_fault

# Not countries of ISO 3166: groups of them, exceptional reservations, private use. Kosovo's XK,
# private use too, stays: the European Commission, banks and carriers write it.
_NO_COUNTRIES = frozenset(
    ["AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"]
)

COUNTRIES = {
    code: name
    for code, name in sorted(Locale("en").territories.items())
    if re.fullmatch("[A-Z]{2}", code) and code not in _NO_COUNTRIES
}
"""The accepted ISO 3166 codes with their English names."""


def party_faults(
    fields: Mapping[str, Any], before: Mapping[str, Any] | None = None
) -> Iterator[Fault]:
    """Find what is wrong with the codes among these fields; paths are the fields' names.

    An empty country or VAT ID is none. `before` is what the party says of what is not among them.
    """
    found = [
        Fault((name,), *fault)
        for name, check in _CHECKS.items()
        if name in fields and (fault := check(fields[name]))
    ]
    yield from found
    if not found and not fields.keys().isdisjoint(_TAXED_BY):
        yield from _tax_faults({**(before or {}), **fields})


def _tax_faults(party: Mapping[str, Any]) -> Iterator[Fault]:
    """Find a VAT ID with wrong check digits, and a reverse charge that names none."""
    vat_id = party.get("vat_id", "")
    if fault := vat_id_fault(vat_id, country=party.get("country", "")):
        yield Fault(("vat_id",), *fault)
    elif party.get("tax_status") == "reverse_charge" and not is_valid_vat_id(vat_id):
        message = "Reverse charge names the customer’s VAT ID of a member state: enter it, or "
        message += "choose another tax status."
        yield Fault(("vat_id",), "required_for_reverse_charge", message)


def _currency(code: str) -> tuple[str, str] | None:
    if code in CURRENCIES:
        return None
    return "unknown_currency", "Choose an ISO 4217 currency, such as EUR."


def _time_zone(name: str) -> tuple[str, str] | None:
    try:
        zone(name)
    except UnknownTimeZone as unknown:
        return "unknown_time_zone", str(unknown)
    return None


def _locale(tag: str) -> tuple[str, str] | None:
    try:
        if tag != "root" and re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", tag):
            Locale.parse(tag, sep="-")
            return None
    except (UnknownLocaleError, ValueError):
        pass
    return "unknown_locale", "Write a language, or one with its country: de, de-DE."


def _country(code: str) -> tuple[str, str] | None:
    if code in COUNTRIES or not code:
        return None
    return "unknown_country", "Choose an ISO 3166 code of two capital letters, such as DE."


def _vat_id(text: str) -> tuple[str, str] | None:
    if re.fullmatch("[A-Za-z0-9]{4,20}", text, re.ASCII) or not text:
        return None
    return "invalid", "Write 4 to 20 letters and digits without spaces, such as DE136695976."


_TAXED_BY = {"country", "vat_id", "tax_status"}
_CHECKS: dict[str, Callable[[str], tuple[str, str] | None]] = {
    "currency": _currency,
    "time_zone": _time_zone,
    "locale": _locale,
    "country": _country,
    "vat_id": _vat_id,
}
