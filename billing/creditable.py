"""What is left to credit of issued invoices, as rows tell it (R21a, R32)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.db.models import Q

from billing.calculation import TaxKey, add_up
from billing.crediting import Book, Creditable, Taken
from billing.included_tax import priced_share
from billing.models import (
    CreditNoteLine,
    CreditNoteTax,
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
)
from billing.models.invoices import PRICED, UNDONE
from catalog.money import EXACT, ZERO, exponent, round_half_up

SETTLED_TOGETHER = (LineKind.USAGE, LineKind.MINIMUM, LineKind.LATE)

Group = tuple[str, int, int]
"""What is charged once, maybe in several lines: a fee, a period's usage, a period's commitment."""


def books_of(invoices: Sequence[Invoice], *, beside: Collection[int] = ()) -> dict[int, Book]:
    """Return what can be credited of these invoices, by id; only of those that are issued.

    What drafts `beside` them credit of them doesn't count, so that it can be credited now (R32a).
    Load lines, allowances, taxes and open items. Three queries, and three more where some of their
    fees or usage are credited by other invoices; however many invoices.
    """
    issued = [one for one in invoices if one.status == InvoiceStatus.ISSUED]
    if not issued:
        return {}
    lines = [line for invoice in issued for line in invoice.lines.all()]
    noted = _noted((line.pk for line in lines), CreditNoteLine.objects.all())
    taken = _taken(invoice.pk for invoice in issued)
    elsewhere = _left_elsewhere(lines, beside=beside)
    found = {}
    for invoice in issued:
        item, places = invoice.open_item, exponent(invoice.currency)
        shares = shares_of(invoice.allowances.all())
        rows = [
            _creditable(line, shares.get((invoice.pk, line.position), ZERO), noted, places)
            for line in invoice.lines.all()
        ]
        found[invoice.pk] = Book(
            currency=invoice.currency,
            total=round_half_up(item.total, places),
            credited=round_half_up(item.credited, places),
            lines=list(_capped(rows, invoice.lines.all(), elsewhere)),
            taxes={
                (tax.category, tax.rate): Taken(
                    round_half_up(tax.base, places),
                    round_half_up(tax.amount, places),
                    *taken.get((invoice.pk, tax.category, tax.rate), (ZERO, ZERO)),
                )
                for tax in invoice.taxes.all()
            },
            include_tax=invoice.prices_include_tax,
        )
    return found


def shares_of(allowances: Iterable[InvoiceAllowance]) -> dict[tuple[int, int], Decimal]:
    """Return what coupons take off what lines are priced at, by invoice and the line's position."""
    found: dict[tuple[int, int], Decimal] = defaultdict(lambda: ZERO)
    for allowance in allowances:
        for share in allowance.shares:
            place = allowance.invoice_id, share["line"]
            found[place] = EXACT.add(found[place], priced_share(share))
    return found


def credited_by_notes(lines: Iterable[int]) -> dict[int, Decimal]:
    """Return what people credited of lines, by line; nothing of those they credited nothing of.

    Without what credit notes give of credits that left an invoice: those count themselves (R32a).
    """
    by_hand = CreditNoteLine.objects.filter(settles=None)
    return {line: amount for line, (amount, _) in _noted(lines, by_hand).items()}


def _noted(lines: Iterable[int], notes: Any) -> dict[int, tuple[Decimal, Decimal]]:
    """Return amounts, as the lines are priced, and units that these lines of credit notes took of lines."""
    found: dict[int, tuple[Decimal, Decimal]] = {}
    rows = notes.filter(line__in=list(lines)).order_by("pk")
    for line, amount, quantity in rows.values_list("line_id", PRICED, "quantity"):
        before, units = found.get(line, (ZERO, ZERO))
        found[line] = EXACT.add(before, amount), EXACT.add(units, quantity or ZERO)
    return found


def _taken(invoices: Iterable[int]) -> dict[tuple[int, str, Decimal], tuple[Decimal, Decimal]]:
    """Return base and tax that credit notes took back, by invoice, category and rate."""
    found: dict[tuple[int, str, Decimal], tuple[Decimal, Decimal]] = {}
    rows = CreditNoteTax.objects.filter(note__invoice__in=list(invoices)).order_by("pk")
    for invoice, category, rate, base, amount in rows.values_list(
        "note__invoice_id", "category", "rate", "base", "amount"
    ):
        before = found.get((invoice, category, rate), (ZERO, ZERO))
        found[invoice, category, rate] = (
            EXACT.add(before[0], base),
            EXACT.add(before[1], amount),
        )
    return found


def _creditable(
    line: InvoiceLine,
    share: Decimal,
    noted: Mapping[int, tuple[Decimal, Decimal]],
    places: int,
) -> Creditable:
    worth = round_half_up(EXACT.subtract(line.priced, share), places)
    credited, units = noted.get(line.pk, (ZERO, ZERO))
    credited = round_half_up(credited, places)
    tax: TaxKey = (line.tax_category, line.tax_rate)
    return Creditable(
        line_id=line.pk,
        description=line.description,
        tax=tax,
        worth=worth,
        credited=credited,
        left=round_half_up(EXACT.subtract(worth, credited), places),
        quantity=line.quantity,
        quantity_credited=units,
    )


def _capped(
    rows: Iterable[Creditable],
    lines: Iterable[InvoiceLine],
    elsewhere: dict[Group, Decimal],
) -> Iterator[Creditable]:
    """Leave of charges no more than other invoices left of them, the first line first."""
    left = dict(elsewhere)
    for row, line in zip(rows, lines, strict=True):
        group = _group(line)
        if row.left > 0 and group in left:
            row = row._replace(left=min(row.left, max(left[group], ZERO)))
            left[group] = EXACT.subtract(left[group], row.left)
        yield row


def _group(line: InvoiceLine) -> Group:
    if line.kind == LineKind.CREDIT:
        return "line", line.credited_id or 0, 0
    if line.kind in SETTLED_TOGETHER and line.period_id:
        return "usage", line.period_id, line.price_id or 0
    if line.kind == LineKind.COMMITMENT:
        return "commitment", line.period_id or 0, 0
    return "line", line.pk, 0


def _left_elsewhere(
    lines: Sequence[InvoiceLine], *, beside: Collection[int]
) -> dict[Group, Decimal]:
    """Return what is left in all of what other invoices credit some of; of nothing else.

    A fee that was credited since it was unused, and usage that turned out to be less, are not
    credited once more.
    """
    own = {line.pk: line.invoice_id for line in lines}
    standing = InvoiceLine.every.exclude(invoice__status__in=UNDONE).exclude(invoice__in=beside)
    periods = {line.period_id for line in lines if line.period_id}
    settled = Q(period__in=periods, kind__in=[LineKind.LATE, LineKind.COMMITMENT], charged__lt=0)
    given = [
        line
        for line in standing.annotate(charged=PRICED)
        .filter(Q(credited__in=own) | settled)
        .order_by("pk")
        if any(
            _group(mine) == _group(line) and mine.invoice_id != line.invoice_id for mine in lines
        )
    ]
    if not given:
        return {}
    groups = {_group(line) for line in given}
    whole: Any = standing.filter(
        Q(pk__in=[key for what, key, _ in groups if what == "line"])
        | Q(credited__in=[key for what, key, _ in groups if what == "line"])
        | Q(
            period__in=[key for what, key, _ in groups if what != "line"],
            kind__in=[*SETTLED_TOGETHER, LineKind.COMMITMENT],
        )
    ).order_by("pk")
    members = [line for line in whole if _group(line) in groups]
    shares = shares_of(
        InvoiceAllowance.objects.filter(invoice__in={line.invoice_id for line in members})
    )
    noted = credited_by_notes(line.pk for line in members)
    left: dict[Group, list[Decimal]] = defaultdict(list)
    for line in members:
        worth = EXACT.subtract(line.priced, shares.get((line.invoice_id, line.position), ZERO))
        credited = noted.get(line.pk, ZERO)
        left[_group(line)].append(EXACT.subtract(worth, credited))
    return {group: add_up(amounts) for group, amounts in left.items()}
