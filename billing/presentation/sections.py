"""The subscriptions that share an invoice: a heading above the lines of each, a subtotal below (R37)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from billing.calculation import add_up
from billing.models import Invoice, InvoiceLine
from billing.presentation.reader import Reader, clean
from billing.presentation.views import LineView, TotalView

Names = Mapping[int, str]
"""What each subscription is called, by its id; empty where an invoice has one alone."""


def names_of(invoice: Invoice, lines: Sequence[InvoiceLine]) -> Names:
    """Name the subscriptions of an invoice's lines as it was drawn; the customer, where several are.

    Load the lines' subscriptions.
    """
    if len(invoice.sections) < 2:
        return {}
    theirs = {line.subscription_id: line.subscription.key for line in lines}
    drawn = {one["subscription"]: one for one in invoice.sections}
    several = len({one["customer"] for one in invoice.sections}) > 1
    return {pk: _name(drawn.get(key, {}), key, several=several) for pk, key in theirs.items()}


def in_sections(
    lines: Sequence[InvoiceLine], views: Sequence[LineView], names: Names, reader: Reader
) -> Iterator[LineView]:
    """Yield the lines, the first of each subscription with its name, the last with what all come to."""
    if not names:
        yield from views
        return
    owners = [None, *(line.subscription_id for line in lines), None]
    begun = 0
    for place, view in enumerate(views):
        before, owner, after = owners[place : place + 3]
        assert owner is not None
        if owner != before:
            begun, view = place, replace(view, section=names[owner])
        if owner != after:
            charged = add_up(line.priced for line in lines[begun : place + 1])
            label = reader.say("subtotal_of", name=names[owner])
            view = replace(view, subtotal=TotalView(label, reader.rounded(charged)))
        yield view


def _name(drawn: Mapping[str, str], key: str, *, several: bool) -> str:
    parts = [drawn.get("name", "") if several else "", drawn.get("plan", ""), key]
    return " · ".join(filter(None, map(clean, parts)))
