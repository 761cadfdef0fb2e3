"""Invoices over add-ons alone: asked for, or because no other invoice will charge them (R33, R32a)."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby

from django.db import OperationalError, connection, transaction
from django.db.models import Q

from billing.chunk import Chunk
from billing.drafting import Draft, attach, compose_all
from billing.models import BillWhen, Invoice, Purpose, SoldAddOn
from billing.services.guarding import hold_unusual
from customers.models import Subscription

logger = logging.getLogger(__name__)


def bill_one_offs(
    *, as_of: datetime, customer_id: int | None = None, run_id: int | None = None
) -> int:
    """Draft an invoice for each sale that waits for one of its own; return how many.

    Each sale that is billed at once has one; what a subscription's end left over shares one. What
    can't be billed is logged and tried again the next time.

    :raises OperationalError: if the database fails.
    """
    waiting = SoldAddOn.objects.waiting().alone()
    if customer_id is not None:
        mine = Q(subscription__customer=customer_id) | Q(subscription__payer=customer_id)
        waiting = waiting.filter(mine)
    drafted = 0
    for pk in list(
        waiting.order_by("subscription").values_list("subscription", flat=True).distinct()
    ):
        try:
            drafted += len(bill_one_offs_of(subscription_id=pk, at=as_of, run_id=run_id))
        except OperationalError:
            raise
        except Exception:  # one customer's crash is one customer's
            logger.warning("add-ons of subscription %s could not be billed", pk, exc_info=True)
    return drafted


@transaction.atomic
def bill_one_offs_of(
    *, subscription_id: int, at: datetime, run_id: int | None = None
) -> list[Invoice]:
    """Draft the invoices of their own that a subscription's add-ons wait for.

    None for one that somebody else bills just now.
    """
    found = Subscription.objects.filter(pk=subscription_id)
    if connection.features.has_select_for_update_skip_locked:
        found = found.select_for_update(skip_locked=True, of=("self",))
    subscriptions = list(found.with_terms())
    if not subscriptions:
        return []
    chunk = Chunk(subscriptions)
    waiting = SoldAddOn.objects.waiting().alone().filter(subscription=subscription_id)
    drafts = [
        one_off_draft(chunk, together, at=at) for together in _documents(waiting.order_by("pk"))
    ]
    written = list(zip(drafts, compose_all(drafts), strict=True))
    invoices = Invoice.objects.bulk_create(
        draft.invoice(composed, run_id=run_id) for draft, composed in written
    )
    attach(list(zip(invoices, (composed for _, composed in written), strict=True)))
    hold_unusual(invoices)
    return invoices


def one_off_draft(
    chunk: Chunk, add_ons: Sequence[SoldAddOn], *, at: datetime, replaces: int | None = None
) -> Draft:
    """Return the invoice to be over add-ons of one subscription, in one currency."""
    subscription = chunk.subscriptions[add_ons[0].subscription_id]
    return Draft(
        subscription=subscription,
        purpose=Purpose.ONE_OFF,
        ended=[],
        starting=None,
        issuer=chunk.issuer(subscription),
        taxation=chunk.taxation(subscription),
        replaces=replaces,
        one_off=add_ons,
        drawn_at=at,
    )


def sold_alone(invoice_ids: Iterable[int]) -> Mapping[int, list[SoldAddOn]]:
    """Return what these invoices, which charge no period, charge; without those that do."""
    found: dict[int, list[SoldAddOn]] = defaultdict(list)
    if wanted := list(invoice_ids):
        for sold in SoldAddOn.objects.filter(invoice__in=wanted).order_by("pk"):
            assert sold.invoice_id is not None
            found[sold.invoice_id].append(sold)
    return found


def _documents(waiting: Iterable[SoldAddOn]) -> list[list[SoldAddOn]]:
    """Tell apart what is billed each on its own from what shares an invoice, by currency."""

    def document(sold: SoldAddOn) -> tuple[str, int]:
        return sold.currency, sold.pk if sold.bill == BillWhen.AT_ONCE else 0

    ordered = sorted(waiting, key=document)
    return [list(together) for _, together in groupby(ordered, key=document)]
