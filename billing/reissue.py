"""Which invoice bills anew what a void or credited one billed: both name each other (R32).

Told by what they claim: such an invoice keeps its claims, no longer live, and its lines. So nothing
is kept of it anywhere else, and what an issued invoice says of it never changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

from billing.models import Invoice, InvoiceLine, InvoiceStatus, PeriodCharge, Purpose

REPLACED = (InvoiceStatus.VOID, InvoiceStatus.CREDITED)
SALE, CLOSE = "sale", "close"
Claim = tuple[str, int]
"""What an invoice bills: a period for a purpose, or a sold add-on."""


class Links(NamedTuple):
    """The invoices that one bills anew, and those that bill it anew, in order; mostly none."""

    replaces: tuple[Invoice, ...] = ()
    replaced_by: tuple[Invoice, ...] = ()

    @property
    def named(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Their numbers, as documents name them: a draft has none yet."""
        return (
            tuple(one.number for one in self.replaces if one.number),
            tuple(one.number for one in self.replaced_by if one.number),
        )


def links_to(invoice: Invoice) -> Links:
    """Return what an invoice replaces and what replaces it."""
    return links_of([invoice]).get(invoice.pk, Links())


def links_of(invoices: Collection[Invoice]) -> dict[int, Links]:
    """Return how invoices replace each other, by id; of discarded ones nothing.

    Two queries, and one more where anything was claimed twice, however many invoices; drafts are
    among what replaces.
    """
    asked = {one.pk for one in invoices if one.status != InvoiceStatus.DISCARDED}
    chains = [chain for chain in _chains(asked).values() if len(chain) > 1]
    if not chains:
        return {}
    claiming = Invoice.objects.filter(pk__in=set().union(*chains))
    found = claiming.exclude(status=InvoiceStatus.DISCARDED).in_bulk()
    before: dict[int, set[int]] = defaultdict(set)
    after: dict[int, set[int]] = defaultdict(set)
    for chain in chains:
        for earlier, later in pairwise(sorted(chain & found.keys())):
            if found[earlier].status in REPLACED:
                before[later].add(earlier)
                after[earlier].add(later)
    return {
        pk: Links(
            tuple(found[other] for other in sorted(before[pk])),
            tuple(found[other] for other in sorted(after[pk])),
        )
        for pk in asked & (before.keys() | after.keys())
    }


def _chains(invoices: Collection[int]) -> dict[Claim, set[int]]:
    """Return all invoices that ever claimed what one of these did, by claim."""
    found: dict[Claim, set[int]] = defaultdict(set)
    mine = PeriodCharge.objects.filter(invoice__in=invoices).order_by()
    charges = PeriodCharge.objects.filter(period__in=mine.values("period")).order_by()
    for invoice, period, purpose in charges.values_list("invoice_id", "period_id", "purpose"):
        is_close = purpose in (Purpose.REGULAR, Purpose.FINAL)  # one may turn out to be the other
        found[CLOSE if is_close else purpose, period].add(invoice)
    sold = InvoiceLine.objects.filter(sold_add_on__isnull=False).order_by()
    sales = sold.filter(sold_add_on__in=sold.filter(invoice__in=invoices).values("sold_add_on"))
    for invoice, sale in sales.values_list("invoice_id", "sold_add_on_id"):
        found[SALE, sale].add(invoice)
    return found
