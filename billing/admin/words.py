"""How staff read amounts, dates and invoices: in English, whatever the buyer's language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.urls import reverse

from billing.beside import ToldBeside, carriers_of, told_beside
from billing.models import (
    BatchStatus,
    CreditNote,
    EstimateStatus,
    Invoice,
    InvoiceStatus,
    MoveStatus,
    PeriodStatus,
    RunStatus,
)
from billing.presentation.beside import beside_notes
from billing.presentation.reader import Reader
from catalog import wording
from catalog.money import exact_sum, exponent, round_half_up

LOCALE = "en-GB"
TAGS = {
    InvoiceStatus.DRAFT.label: "info",
    InvoiceStatus.REVIEW.label: "warning",
    InvoiceStatus.ISSUED.label: "success",
    InvoiceStatus.VOID.label: "danger",
    InvoiceStatus.CREDITED.label: "",
    InvoiceStatus.SETTLED.label: "success",
    InvoiceStatus.DISCARDED.label: "",
    PeriodStatus.OPEN.label: "info",
    PeriodStatus.CLOSED.label: "success",
    PeriodStatus.PARKED.label: "danger",
    PeriodStatus.WAIVED.label: "",
    RunStatus.RUNNING.label: "info",
    RunStatus.FINISHED.label: "success",
    RunStatus.FAILED.label: "danger",
    MoveStatus.PREVIEWING.label: "info",
    MoveStatus.PREVIEWED.label: "warning",
    MoveStatus.MOVING.label: "info",
    MoveStatus.FINISHED.label: "success",
    EstimateStatus.WORKING.label: "info",
    EstimateStatus.FINISHED.label: "success",
    BatchStatus.WORKING.label: "info",
    BatchStatus.FINISHED.label: "success",
}
"""The colour of each status in a list."""


def amount(value: Decimal, currency: str) -> str:
    """Write "1,234.50" or "−1,234.50"."""
    return wording.amount(value, exponent(currency), LOCALE).replace("-", "−")


def money(value: Decimal, currency: str) -> str:
    """Write "1,234.50 EUR"."""
    return f"{amount(value, currency)} {currency}"


def signed(value: Decimal, currency: str) -> str:
    """Write a difference with its sign: "+12.00 EUR", "−3.00 EUR", "0.00 EUR"."""
    text = money(abs(value), currency)
    return f"+{text}" if value > 0 else f"−{text}" if value < 0 else text


def change(before: Decimal, after: Decimal) -> str:
    """Write by how much a figure changed: "+12 %", "−3 %", "0 %"; nothing against nothing."""
    if before <= 0:
        return ""
    percent = round_half_up(Fraction(after - before) * 100 / Fraction(before), 0)
    sign = "+" if percent > 0 else "−" if percent < 0 else ""
    return f"{sign}{number(abs(percent))} %"


def rounded(value: Decimal) -> str:
    """Write a mean in no more digits than it is good for: whole from 100 on, else two decimals."""
    return number(round_half_up(value, 0 if abs(value) >= 100 else 2))


def totals(amounts: Iterable[tuple[str, Decimal]]) -> str:
    """Add up (currency, amount) per currency: "1,234.50 EUR, 80.00 GBP and 99.00 USD"."""
    by_currency: dict[str, list[Decimal]] = {}
    for currency, value in amounts:
        by_currency.setdefault(currency, []).append(value)
    sums = {currency: exact_sum(values) for currency, values in sorted(by_currency.items())}
    *most, last = [
        money(total, currency) for currency, total in sums.items() if isinstance(total, Decimal)
    ] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def number(value: Decimal | int) -> str:
    return wording.number(Decimal(value), LOCALE)


def span(start: date, end: date) -> str:
    """Write the days from `start` up to but without `end`: "1–30 Nov 2026"."""
    return Reader(LOCALE, "EUR").span(start, end)


def day(date: date | None) -> str:
    return Reader(LOCALE, "EUR").day(date) if date else ""


def moment(at: datetime | None) -> str:
    """Write a moment in UTC, in which the admin tells time."""
    return f"{day(at.date())}, {at:%H:%M} UTC" if at else ""


def month_name(month: date) -> str:
    """Write "November 2026"."""
    return f"{month:%B %Y}"


def month_from(text: str) -> date | None:
    """Read "2026-11" as the first day of that month; None for anything else."""
    found = re.fullmatch(r"([0-9]{4})-([0-9]{2})", text, re.ASCII)
    try:
        return date(int(found[1]), int(found[2]), 1) if found else None
    except ValueError:
        return None


def is_id(text: str) -> bool:
    """Say whether a text of an address can be the id of a row."""
    return text.isascii() and text.isdecimal() and len(text) < 19


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write "1 invoice", "1,200 invoices"."""
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def name_of(document: Invoice | CreditNote) -> str:
    """Return a document's number; what has none is told apart by how its `uuid` begins."""
    return document.number or f"Draft {document.uuid.hex[:4].upper()}"


def buyer_of(document: Invoice | CreditNote) -> str:
    """Return the name a document was issued to, which a list need not look up, or else is to be."""
    if name := document.buyer.get("name"):
        return str(name)
    invoice = document if isinstance(document, Invoice) else document.invoice
    return invoice.customer.name


def tag_of(invoice: Invoice) -> str:
    """Return the class of a status on a page of our own."""
    classes = {
        "issued": "pb-good",
        "settled": "pb-good",
        "void": "pb-bad",
        "credited": "",
        "discarded": "",
    }
    return classes.get(invoice.status, "pb-open")


def purpose_of(invoice: Invoice) -> str:
    """Say what an invoice charges; of several subscriptions how many. Load `charges__period`."""
    charges = list(invoice.charges.all())
    said = "; ".join(
        dict.fromkeys(
            f"{charge.get_purpose_display()} {span(charge.period.start_date, charge.period.end_date)}"
            for charge in charges
        )
    )
    many = len({charge.subscription_id for charge in charges})
    if many > 1:
        said = f"{counted(many, 'subscription')}: {said}"
    return said or "Add-ons"


def page(model: str, pk: Any) -> str:
    """Return the admin's address of a row: `page("billing_invoice", 3)`."""
    return reverse(f"admin:{model}_change", args=(pk,))


def first_line(trouble: str) -> str:
    return trouble.partition("\n")[0]


def beside(told: ToldBeside, currency: str) -> list[str]:
    """Say which credit notes come with an invoice, for staff."""
    return list(beside_notes(told, Reader(LOCALE, currency)))


def leaving(invoices: Iterable[Invoice]) -> list[str]:
    """Say of open invoices which credit notes come with them; of several, over how much in all."""
    carriers = carriers_of(invoices)
    if len(carriers) == 1:
        [(invoice, _)] = carriers
        return beside(told_beside(carriers)[invoice.uuid], invoice.currency)
    if not carriers:
        return []
    sums = totals((one.invoice.currency, one.invoice.credited_beside) for one in carriers)
    return [
        f"{number(len(carriers))} of them would be below zero: credit notes over {sums}, before tax, on "
        "the invoices that billed it are issued with them."
    ]
