"""VAT IDs of the member states: their form and check digits, and what is wrong with one."""

from __future__ import annotations

from typing import NamedTuple

from stdnum.eu import vat
from stdnum.exceptions import InvalidChecksum, InvalidLength, ValidationError

_EXAMPLES = {
    "AT": "ATU13585627", "BE": "BE0428759497", "BG": "BG175074752", "CY": "CY10259033P",
    "CZ": "CZ25123891", "DE": "DE136695976", "DK": "DK13585628", "EE": "EE100931558",
    "EL": "EL094259216", "ES": "ESB58378431", "FI": "FI20774740", "FR": "FR40303265045",
    "HR": "HR33392005961", "HU": "HU12892312", "IE": "IE6433435F", "IT": "IT00743110157",
    "LT": "LT119511515", "LU": "LU15027442", "LV": "LV40003521600", "MT": "MT11679112",
    "NL": "NL004495445B01", "PL": "PL8567346215", "PT": "PT501964843", "RO": "RO18547290",
    "SE": "SE123456789701", "SI": "SI50223054", "SK": "SK2022749619",
}  # fmt: skip
"""How one of each state looks, by its prefix; all of them are valid."""


class Wrong(NamedTuple):
    """What is wrong with a VAT ID: a code for programs, and a sentence that says how to mend it."""

    code: str
    message: str


def is_valid_vat_id(vat_id: str) -> bool:
    """Say whether it is a member state's VAT ID whose check digits are right."""
    return vat_id[:2].upper() in _EXAMPLES and bool(vat.is_valid(vat_id))


def vat_id_fault(vat_id: str, *, country: str) -> Wrong | None:
    """Find what is wrong with a VAT ID of somebody in a country; None if nothing, or if it is empty.

    Whoever is in no member state may have a number of any form.
    """
    prefix = vat_id[:2].upper()
    own = "EL" if country == "GR" else country
    if not vat_id or (own and own not in _EXAMPLES):
        return None
    if prefix not in _EXAMPLES:
        if not own:
            return None  # the number of who knows where
        return Wrong(
            "no_member_state",
            f"A VAT ID begins with its country’s letters, such as {_EXAMPLES[own]}; leave it "
            "empty for who has none.",
        )
    try:
        vat.validate(vat_id)
    except InvalidLength:
        return Wrong("wrong_length", f"This is too long or too short for {_like(prefix)}.")
    except InvalidChecksum:
        return Wrong(
            "wrong_check_digits",
            f"The check digits of {vat_id} are wrong, so a digit is mistyped: compare it with "
            "the customer’s papers.",
        )
    except ValidationError:
        return Wrong("wrong_form", f"This is not of the form of {_like(prefix)}.")
    return None


def _like(prefix: str) -> str:
    return f"a VAT ID that begins with {prefix}, such as {_EXAMPLES[prefix]}"
