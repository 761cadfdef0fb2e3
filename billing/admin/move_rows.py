"""The rows of a move to another version: a page of them, sorted, and all of them as a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from django.core.paginator import Paginator
from django.db.models import F
from django.db.models.functions import Abs
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from billing.admin import words
from billing.models import Outcome, PlanMove, PlanMoveRow
from catalog.money import exponent
from config.base.csv import cell, download

SHOWN = 50
REFUSED_SHOWN = 20
KEPT = (Outcome.PREVIEWED, Outcome.MOVED)
SORTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "largest": ("Largest difference first", (Abs("difference").desc(nulls_last=True), "pk")),
    "up": ("Dearest first", (F("difference").desc(nulls_last=True), "pk")),
    "down": ("Cheapest first", (F("difference").asc(nulls_last=True), "pk")),
    "customer": ("By customer", ("subscription__customer__name", "pk")),
}
CSV_HEAD = (
    "subscription",
    "customer",
    "customer_key",
    "outcome",
    "from_day",
    "currency",
    "net_now",
    "net_after",
    "difference",
    "note",
)


def rows_of(request: HttpRequest, move: PlanMove) -> dict[str, Any]:
    """Return a page of what is moved, sorted as asked, and what stays with its reason."""
    rows = move.rows.select_related("subscription__customer")
    sort = request.GET.get("sort", "")
    sort = sort if sort in SORTS else "largest"
    kept = Paginator(rows.filter(outcome__in=KEPT).order_by(*SORTS[sort][1]), SHOWN)
    refused = Paginator(rows.filter(outcome=Outcome.REFUSED).order_by("pk"), REFUSED_SHOWN)
    page = kept.get_page(request.GET.get("p"))
    stays = refused.get_page(request.GET.get("r"))
    return {
        "rows": [_row(move, row) for row in page],
        "page": page,
        "refused": [_row(move, row) for row in stays],
        "refused_page": stays,
        "refused_count": words.counted(refused.count, "subscription"),
        "sort": sort,
        "sorts": [(name, label, name == sort) for name, (label, _) in SORTS.items()],
    }


def _row(move: PlanMove, row: PlanMoveRow) -> dict[str, Any]:
    currency = move.to_version.currency
    return {
        "subscription": row.subscription.key,
        "url": words.page("customers_subscription", row.subscription_id),
        "customer": row.subscription.customer.name,
        "starts_on": words.day(row.starts_on),
        "before": "—" if row.before is None else words.amount(row.before, currency),
        "after": "—" if row.after is None else words.amount(row.after, currency),
        "difference": "—" if row.difference is None else signed(move, row.difference),
        "is_moved": row.outcome == Outcome.MOVED,
        "note": row.note,
    }


def rows_csv(move: PlanMove) -> HttpResponseBase:
    """Answer every row of a move as a file, in the order of the subscriptions' making."""
    rows = move.rows.select_related("subscription__customer").order_by("pk")
    places, currency = exponent(move.to_version.currency), move.to_version.currency

    def lines() -> Iterator[list[str]]:
        for row in rows.iterator(chunk_size=1000):
            figures = (row.before, row.after, row.difference)
            yield [
                cell(row.subscription.key),
                cell(row.subscription.customer.name),
                cell(row.subscription.customer.key),
                row.outcome,
                f"{row.starts_on or ''}",
                currency,
                *("" if one is None else f"{one:.{places}f}" for one in figures),
                cell(row.note),
            ]

    return download(f"move-{move.pk}.csv", chain([list(CSV_HEAD)], lines()))


def money(move: PlanMove, value: Any) -> str:
    return words.money(value, move.to_version.currency)


def signed(move: PlanMove, value: Any) -> str:
    return words.signed(value, move.to_version.currency)
