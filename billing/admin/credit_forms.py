"""What is asked of a credit note: how much of which line, why, and what becomes of what was paid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from django import forms

from billing.admin import words
from billing.crediting import Asked, Book, Creditable
from billing.models import Invoice
from catalog.money import exponent, plain, round_half_up
from config.base.admin.theme import short, textarea
from config.base.fields import PlainDecimalInput, PlainTextInput

KEPT, REFUNDED = "balance", "refund"


class CreditForm(forms.Form):
    """Beside its fields it reads `n12` and `q12`: amount and quantity of line 12."""

    reason = PlainTextInput(
        max_length=2000, widget=textarea(rows=2), label="Why?",
        help_text="Printed on the credit note, and kept in the audit trail.",
    )  # fmt: skip
    then = forms.ChoiceField(
        choices=[
            (
                KEPT,
                "stays with you as the customer’s balance, for the next invoice or a refund later",
            ),
            (REFUNDED, "is paid back: record the refund with the credit note"),
        ],
        initial=KEPT,
        required=False,
        widget=forms.RadioSelect(),
        label="What was paid already",
        help_text="What deposits paid is left of them again in any case.",
    )
    anew = forms.BooleanField(
        required=False,
        label="Bill anew what it billed",
        help_text="Only if all that is left is credited: the next run bills its periods and sales again, "
        "under what holds then.",
    )


def read_parts(book: Book, entered: dict[str, str]) -> tuple[list[Asked], list[str]]:
    """Return what was entered for each line, and what is wrong with it; empty is nothing."""
    asked, errors = [], []
    for line in book.lines:
        amount, said = _read(entered.get(f"n{line.line_id}", ""), line, decimals=4)
        errors += said
        quantity, said = _read(entered.get(f"q{line.line_id}", ""), line, decimals=10)
        errors += said
        if amount is not None and quantity is not None:
            errors.append(f"{short(line.description)}: enter either an amount or a quantity.")
        elif amount is not None or quantity is not None:
            asked.append(Asked(line.line_id, amount, quantity))
    return asked, errors


def _read(text: str, line: Creditable, *, decimals: int) -> tuple[Decimal | None, list[str]]:
    field = PlainDecimalInput(required=False, max_digits=19, decimal_places=decimals)
    try:
        return field.clean(text), []
    except forms.ValidationError as wrong:
        return None, [f"{short(line.description)}, “{short(text)}”: {m}" for m in wrong.messages]


def seen_of(posted: Mapping[str, Any]) -> Decimal:
    """Return what was credited of the invoice when its credit note was looked at."""
    try:
        return PlainDecimalInput(max_digits=19, decimal_places=4).clean(posted.get("seen"))  # type: ignore[no-any-return]
    except forms.ValidationError:
        return Decimal(-1)  # nothing that was ever credited: it is looked at again


def line_rows(invoice: Invoice, book: Book, entered: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Return the lines that have money, each with what can be credited and what was entered."""
    lines = {line.pk: line for line in invoice.lines.all()}
    for row in book.lines:
        if not row.worth:
            continue
        line = lines[row.line_id]
        unit = line.unit_plural or ("units" if row.quantity != 1 else "")
        yield {
            "name": row.description,
            "period": words.span(line.service_start, line.service_end),
            "worth": words.amount(row.worth, book.currency),
            "credited": words.amount(row.credited, book.currency) if row.credited else "—",
            "left": words.amount(row.left, book.currency),
            "is_left": bool(row.left),
            "has_more": row.left != row.worth - row.credited,
            "units_left": f"{words.number(row.units_left)} {unit}".rstrip()
            if row.units_left
            else "",
            "amount_name": f"n{row.line_id}",
            "amount_value": entered.get(f"n{row.line_id}", ""),
            "quantity_name": f"q{row.line_id}",
            "quantity_value": entered.get(f"q{row.line_id}", ""),
            "whole": f"{round_half_up(row.left, exponent(book.currency)):f}",
            "all_units": plain(row.units_left),
        }
