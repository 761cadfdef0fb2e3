"""Which drafts share an invoice, and which open one they join: safely beside other workers (R37).

Whoever closes subscriptions of a payer who gets one invoice holds that payer, so that two workers
find each other's; the database refuses a second open draft of the same group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from django.db import connection
from django.db.models import Exists, Prefetch, Q

from billing.consolidation import consolidates
from billing.drafting import Draft
from billing.likeness import LOOKED_AT
from billing.models import Invoice, InvoiceAllowance, InvoiceLine, InvoiceStatus, Purpose
from billing.parties import payer_of
from customers.models import Consolidation, Customer, Issuer, Subscription

SHARING = (Purpose.OPENING, Purpose.REGULAR, Purpose.FINAL)
"""What an invoice may be drafted for that others share; the rest has a document of its own."""


def lock_payers(subscription_ids: Collection[int]) -> None:
    """Lock who pays for these and gets one invoice, in order, before the subscriptions themselves.

    Nothing is asked where rows can't be locked.
    """
    if not connection.features.has_select_for_update:
        return
    mine = Subscription.objects.filter(pk__in=subscription_ids).order_by()
    default = Issuer.objects.filter(consolidation=Consolidation.ONE_INVOICE)
    payers = Customer.objects.filter(
        Q(pk__in=mine.filter(payer=None).values("customer")) | Q(pk__in=mine.values("payer")),
        Q(consolidation=Consolidation.ONE_INVOICE) | Q(Exists(default), consolidation=""),
    )
    list(payers.order_by("pk").select_for_update(no_key=True).values_list("pk"))


def grouped(drafts: Sequence[Draft]) -> tuple[list[Draft], dict[str, Invoice]]:
    """Say of drafts which share an invoice, and return the open ones that they join, by group.

    Those are drafts that nobody held or took up since; locked, and loaded with their parts. A
    subscription is on an invoice once: what it is charged besides has one to itself.
    """
    groups = [_group_of(draft) for draft in drafts]
    if not any(groups):
        return list(drafts), {}
    open_groups = _open(set(groups) - {""})
    seen: dict[str, set[int]] = defaultdict(set)
    for group, invoice in open_groups.items():
        seen[group] |= {charge.subscription_id for charge in invoice.charges.all()}
    found = []
    for draft, group in zip(drafts, groups, strict=True):
        is_new = bool(group) and draft.subscription.pk not in seen[group]
        found.append(replace(draft, group=group) if is_new else draft)
        seen[group].add(draft.subscription.pk)
    return found, open_groups


def _group_of(draft: Draft) -> str:
    if draft.purpose not in SHARING or not consolidates(payer_of(draft.subscription), draft.issuer):
        return ""
    return draft.common.key


def _open(groups: Iterable[str]) -> dict[str, Invoice]:
    """Lock the drafts that others of these groups may join."""
    rows = Invoice.objects.filter(status=InvoiceStatus.DRAFT, group_key__in=groups).order_by("pk")
    parts = (
        Prefetch("lines", InvoiceLine.every.only("invoice", "position", *LOOKED_AT)),
        Prefetch("allowances", InvoiceAllowance.objects.only("invoice", "position")),
        "taxes",
        "charges",
    )
    locked = rows.select_for_update(of=("self",)).prefetch_related(*parts)
    return {invoice.group_key: invoice for invoice in locked}
