"""One invoice for several subscriptions: what they have in common, and what they add up to (R37).

Each keeps its own lines, coupons, credits and claims, and all that is rounded is rounded there; only
the tax is taken once, on the sum of each category and rate (R29).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import NamedTuple

from billing.calculation import Taxed, totals
from billing.composition import Composed, bases_of, subtotal
from billing.included_tax import split_off_tax
from billing.models import Invoice, InvoiceAllowance, InvoiceLine, TaxSubtotal
from billing.rates import kept_tax
from catalog import money
from catalog.money import EXACT
from customers.models import Consolidation, Customer, Issuer, Subscription


class Common(NamedTuple):
    """What drafts need to have in common to share an invoice.

    `day` is the one on which what they charge ends and begins; `issued_on` that of the issue where
    the issuer is, which with the payer's terms makes the due day: None where a person issues.
    """

    payer_id: int
    issuer_id: int
    currency: str
    tax_treatment: str
    day: date
    issued_on: date | None

    @property
    def key(self) -> str:
        """Write it as a text, different for any other."""
        return " ".join("by-hand" if part is None else str(part) for part in self)


class Filling(NamedTuple):
    """What an invoice that others join has: the last places of lines and coupons, and its taxes."""

    lines: int
    allowances: int
    taxes: Sequence[TaxSubtotal]


NOTHING = Filling(0, 0, ())


def filling_of(invoice: Invoice) -> Filling:
    """Return what an open invoice has already; load its parts."""
    return Filling(
        max((line.position for line in invoice.lines.all()), default=0),
        max((one.position for one in invoice.allowances.all()), default=0),
        list(invoice.taxes.all()),
    )


def consolidates(payer: Customer, issuer: Issuer) -> bool:
    """Say whether a payer gets one invoice for several subscriptions: as it says, or its issuer."""
    return (payer.consolidation or issuer.consolidation) == Consolidation.ONE_INVOICE


def together(parts: Sequence[Composed], *, after: Filling = NOTHING) -> Composed:
    """Put what is charged for several subscriptions on one invoice, in this order.

    Lines are numbered after those that are there already, and shares of coupons with them. The
    taxes and totals are those of all.
    """
    if after is NOTHING and len(parts) == 1:
        return parts[0]
    currency = parts[0].currency
    lines: list[InvoiceLine] = []
    allowances: list[InvoiceAllowance] = []
    leaving: list[InvoiceLine] = []
    places = after.lines
    for part in parts:
        _renumber(part, lines=places, allowances=after.allowances + len(allowances))
        places += len(part.every)
        lines += part.lines
        leaving += part.leaving
        allowances += part.allowances
    include_tax = parts[0].include_tax
    exponent = money.exponent(currency)
    before = list(charged(after.taxes, include_tax=include_tax))
    now = [one for part in parts for one in charged(part.taxes, include_tax=include_tax)]
    added = totals([*before, *now], exponent=exponent, include_tax=include_tax)
    if include_tax:
        bases = bases_of(added)
        for key, base in bases_of(totals(before, exponent=exponent, include_tax=True)).items():
            bases[key] = EXACT.subtract(bases[key], base)
        split_off_tax(lines, allowances, bases, exponent=exponent)
    taxes = [subtotal(*one) for one in added.subtotals]
    return Composed(lines, allowances, taxes, added, currency, include_tax, leaving)


def charged(taxes: Iterable[TaxSubtotal], *, include_tax: bool) -> Iterator[Taxed]:
    """Yield what is charged in each category and rate, as if it were a line."""
    for one in taxes:
        amount = EXACT.add(one.base, one.amount) if include_tax else one.base
        yield Taxed(amount, kept_tax(one))


def section(subscription: Subscription, plan: str) -> dict[str, str]:
    """Return how an invoice names a subscription that shares it."""
    customer = subscription.customer
    return {
        "subscription": subscription.key,
        "plan": plan,
        "customer": customer.key,
        "name": customer.name,
    }


def _renumber(part: Composed, *, lines: int, allowances: int) -> None:
    for line in part.every:
        line.position += lines
    for allowance in part.allowances:
        allowance.position += allowances
        allowance.shares = [{**share, "line": share["line"] + lines} for share in allowance.shares]
