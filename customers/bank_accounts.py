"""Where an issuer is paid: what is wrong with an IBAN or a BIC."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stdnum import bic, iban
from stdnum.exceptions import InvalidChecksum, ValidationError

from config.base.errors import Fault

_LIKE_AN_IBAN = re.compile("[A-Z]{2}[0-9]{2}[A-Z0-9]{4,30}")


def account_faults(fields: Mapping[str, Any]) -> Iterator[Fault]:
    """Find what is wrong with the IBAN and the BIC among these fields; spaces are none, nor is nothing."""
    if number := str(fields.get("iban") or ""):
        yield from _iban_faults(number)
    code = str(fields.get("bic") or "")
    if code and not bic.is_valid(code):
        message = "A BIC has 8 or 11 letters and digits, such as COBADEFFXXX."
        yield Fault(("bic",), "invalid", message)


def _iban_faults(number: str) -> Iterator[Fault]:
    try:
        iban.validate(number)
    except InvalidChecksum:
        if _LIKE_AN_IBAN.fullmatch(iban.compact(number)):
            message = f"The check digits of {number} are wrong, so a character is mistyped or "
            message += "missing: compare it with your bank’s papers."
            yield Fault(("iban",), "wrong_check_digits", message)
            return
        yield _no_iban()
    except ValidationError:
        yield _no_iban()


def _no_iban() -> Fault:
    message = "This is no IBAN, such as DE89370400440532013000. Say of an account without one in "
    return Fault(("iban",), "invalid", f"{message}the legal text, which is printed, too.")
