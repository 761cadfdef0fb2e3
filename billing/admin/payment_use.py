"""What a payment pays: told on its page, and read from what was entered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest
from django.urls import reverse

from billing.admin import words
from billing.models import Payment
from billing.money import Candidate
from billing.services.payments import Portion
from config.base.admin.audited import Panel
from config.base.admin.theme import short
from config.base.fields import PlainDecimalInput


def use_panel(request: HttpRequest, payment: Payment) -> Panel:
    """Show what a payment pays and paid, and what was paid back of it."""
    may_release = request.user.has_perm("billing.allocate_payment")
    may_refund = request.user.has_perm("billing.refund_payment")
    rows = payment.allocations.select_related("item__invoice").order_by("pk")
    return Panel(
        "What it pays",
        "admin/billing/payment_panel.html",
        {
            "allocations": [
                {
                    "invoice": words.name_of(one.item.invoice),
                    "url": words.page("billing_invoice", one.item_id),
                    "amount": words.money(one.amount, payment.currency),
                    "on": words.day(one.allocated_on),
                    "at_issue": one.at_issue,
                    "released": words.day(one.released_on),
                    "release_url": reverse(
                        "admin:billing_payment_release", args=(payment.pk, one.pk)
                    )
                    if may_release and not one.released_on
                    else "",
                }
                for one in rows
            ],
            "refunds": [
                {
                    "amount": words.money(one.amount, payment.currency),
                    "on": words.day(one.refunded_on),
                    "reference": one.reference,
                    "reversed": words.day(one.reversed_on),
                    "back_url": reverse("admin:billing_payment_unrefund", args=(payment.pk, one.pk))
                    if may_refund and not one.reversed_on
                    else "",
                }
                for one in payment.refunds.order_by("pk")
            ],
            "left": words.money(payment.available, payment.currency) if payment.available else "",
        },
    )


def read_portions(entered: Mapping[int, str]) -> tuple[list[Portion], list[str]]:
    """Return what was entered for each invoice, and what is wrong with it; empty and 0 are nothing."""
    field = PlainDecimalInput(required=False, max_digits=19, decimal_places=4)
    portions, errors = [], []
    for pk, text in entered.items():
        try:
            amount: Decimal | None = field.clean(text)
        except forms.ValidationError as wrong:
            errors += [f"“{short(text)}”: {message}" for message in wrong.messages]
            continue
        if amount:
            portions.append(Portion(pk, amount))
    return portions, errors


def candidate_rows(
    found: Sequence[Candidate], entered: Mapping[int, str], payment: Payment, *, today: date
) -> Iterator[dict[str, Any]]:
    """Return the rows of what is open, each with what was entered for it."""
    for one in found:
        yield {
            "name": f"i{one.invoice_id}",
            "invoice": one.number,
            "url": words.page("billing_invoice", one.invoice_id),
            "due": words.day(one.due_date),
            "is_overdue": one.due_date < today,
            "open": words.money(one.open, payment.currency),
            "value": entered.get(one.invoice_id, ""),
        }
