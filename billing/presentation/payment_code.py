"""The code that bank apps read: a transfer in euro, by the EPC's guideline (EPC069-12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby

import segno

from billing.presentation.reader import Reader
from billing.presentation.views import CodeView

MOST = Decimal("999999999.99")  # what the guideline allows
_NAME = 70  # characters


def payment_code(
    *, name: str, iban: str, bic: str, reference: str, amount: Decimal, reader: Reader
) -> CodeView | None:
    """Return the code of a transfer; None in another currency, or without a possible account."""
    solid = iban.replace(" ", "").upper()
    if reader.currency != "EUR" or not is_iban(solid) or not 0 < amount <= MOST:
        return None
    fields = [
        *("BCD", "002", "1", "SCT", bic.replace(" ", "").upper()),
        *(name[:_NAME].strip(), solid, f"EUR{amount:.2f}", "", "", reference),
    ]
    code = segno.make_qr("\n".join(fields), error="m", encoding="utf-8", boost_error=False)
    return CodeView(
        size=str(len(code.matrix)),
        outline="".join(_runs(code.matrix)),
        label=reader.say("pay_by_code"),
        text=reader.say("code_text", amount=reader.money(amount), iban=solid, reference=reference),
    )


def _runs(rows: Iterable[Iterable[int]]) -> Iterator[str]:
    """Outline the dark modules that touch in a row as one."""
    for y, row in enumerate(rows):
        x = 0
        for is_dark, run in groupby(row):
            width = len(list(run))
            if is_dark:
                yield f"M{x} {y}h{width}v1h-{width}z"
            x += width


def is_iban(text: str) -> bool:
    """Say whether the check digits of an account number fit it (ISO 13616)."""
    if not (15 <= len(text) <= 34 and text.isascii() and text.isalnum() and text[:2].isalpha()):
        return False
    digits = "".join(str(int(char, 36)) for char in text[4:] + text[:4])
    return int(digits) % 97 == 1 and text[2:4].isdigit()
