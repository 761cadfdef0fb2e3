"""Tax in the currency of the issuer's books, where an invoice is in another (Article 230)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db.models import Q, QuerySet

from billing.models import ExchangeRate, Invoice
from catalog.money import exponent, plain, round_half_up
from config.base.errors import Refusal
from customers.models import Issuer

Asked = tuple[str, str, date]
"""From which currency, into which, on which day."""


class ExchangeRateMissing(Refusal):
    """No rate between two currencies is known on or before a day, and none is guessed."""

    code = "exchange_rate_missing"


def keep_tax_in_books(invoices: Iterable[Invoice], issuers: Mapping[int, Issuer]) -> None:
    """State on dated invoices, unsaved, what their tax is in their issuer's currency.

    Only of tax that is charged, in another currency than that of the books; with the last rate
    on or before the issue date. A query per pair of currencies and day.

    :raises ExchangeRateMissing: if there is none.
    """
    known: dict[Asked, ExchangeRate] = {}
    for invoice in invoices:
        books = issuers[invoice.issuer_id].currency
        if invoice.currency == books or not invoice.tax_total:
            continue
        assert invoice.issue_date is not None
        asked = invoice.currency, books, invoice.issue_date
        if asked not in known:
            known[asked] = rate_on(*asked)
        invoice.tax_in_books = told(invoice.tax_total, known[asked], books=books)


def rate_on(currency: str, books: str, day: date) -> ExchangeRate:
    """Return the last rate between two currencies on or before a day, either way round.

    :raises ExchangeRateMissing: if there is none.
    """
    found = rates_until(currency, books, day).first()
    if found is None:
        raise ExchangeRateMissing(
            f"No exchange rate between {currency} and {books} is known on or before "
            f"{day:%-d %B %Y}: enter it under “Exchange rates”, so that the tax can be stated "
            f"in {books}, then try again."
        )
    return found


def rates_until(currency: str, books: str, day: date) -> QuerySet[ExchangeRate]:
    """Return the rates between two currencies until a day included, either way round, last first."""
    either = Q(base=currency, quote=books) | Q(base=books, quote=currency)
    return ExchangeRate.objects.filter(either, date__lte=day).order_by("-date", "pk")


def told(tax: Decimal, rate: ExchangeRate, *, books: str) -> dict[str, Any]:
    """Return tax in the currency of the books, with what it was converted by, as JSON."""
    said = {
        "currency": books,
        "base": rate.base,
        "quote": rate.quote,
        "rate": plain(rate.rate),
        "date": rate.date.isoformat(),
        "source": rate.source,
    }
    return {"amount": f"{converted(tax, said):f}", **said}


def converted(amount: Decimal, said: Mapping[str, Any]) -> Decimal:
    """Convert by what an invoice says of the rate, rounded once to the books' decimals."""
    return round_half_up(Fraction(amount) * factor(said), exponent(said["currency"]))


def factor(said: Mapping[str, Any]) -> Fraction:
    """Return what one of the invoice's currency is in that of the books."""
    rate = Fraction(said["rate"])
    return rate if said["quote"] == said["currency"] else 1 / rate
