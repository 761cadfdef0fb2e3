"""What a preview of a subscription's next invoice rests on, apart from usage, told by a short text.

If the text is the same later, the same change has the same consequences: nobody changed the plan,
own prices, quantities, coupons, parties or taxes, and no invoice was drafted, issued or voided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Max, Q

from billing.chunk import Chunk
from billing.models import BillingPeriod, Invoice, InvoiceStatus
from billing.models.invoices import UNDONE
from billing.parties import payer_of
from catalog.money import plain
from config.base.fields import ExactSum
from customers.models import Subscription
from customers.terms import zones_of


def seen_terms(subscriptions: Sequence[Subscription]) -> dict[int, str]:
    """Return a text of 64 characters for each, in a constant number of queries; load `with_terms`.

    :raises IssuerUndecided: if several issuers could sell to one.
    """
    chunk = Chunk(subscriptions)
    billed = _billed([one.pk for one in subscriptions])
    return {
        one.pk: hashlib.sha256(repr((_terms(one, chunk), billed.get(one.pk))).encode()).hexdigest()
        for one in subscriptions
    }


def _terms(subscription: Subscription, chunk: Chunk) -> list[Any]:
    payer = payer_of(subscription)
    taxation = chunk.taxation(subscription)
    return [
        (subscription.starts_on, subscription.ends_on),
        zones_of(subscription).changes,
        (chunk.issuer(subscription).pk, payer.pk, payer.currency),
        taxation.told,
        [
            (phase.plan_version_id, phase.is_paused, phase.starts_on, phase.ends_on)
            + (phase.alignment, phase.anchor_on)
            for phase in subscription.phases.all()
        ],
        [
            (one.price_key, one.starts_on, plain(one.quantity))
            for one in subscription.quantities.all()
        ],
        [(one.pk, one.ends_on) for one in subscription.overrides.all()],
        [(one.pk, one.ends_on) for one in subscription.applied_coupons.all()],
    ]


def _billed(subscription_ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    """Return how far billing came with each: its last period, and its invoices by state and amount."""
    periods = BillingPeriod.objects.filter(subscription__in=subscription_ids).order_by()
    last = dict(periods.values_list("subscription").annotate(Max("number")))
    invoices = Invoice.objects.filter(charges__subscription__in=subscription_ids).order_by()
    told = invoices.values_list("charges__subscription").annotate(
        last=Max("pk"),
        issued=Count("pk", filter=Q(status=InvoiceStatus.ISSUED)),
        gone=Count("pk", filter=Q(status__in=UNDONE)),
        sum=ExactSum("total"),
    )
    found = {pk: (*counts, plain(total)) for pk, *counts, total in told}
    return {pk: (last.get(pk), *found.get(pk, ())) for pk in {*last, *found}}
