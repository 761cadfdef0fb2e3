"""Lines with their explanation in place: what was counted, included and charged, and how to check it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from billing.models import InvoiceLine, LineKind
from billing.portal import words
from billing.presentation.lines import is_shown, usage_view
from billing.presentation.reader import Reader
from billing.presentation.views import LineView, UsageView
from customers.models import Customer


def explained(
    lines: Sequence[InvoiceLine],
    views: Sequence[LineView],
    reader: Reader,
    *,
    user: Customer,
    zones: Mapping[int, str],
    zone: str,
) -> list[dict[str, Any]]:
    """Pair each line that an invoice shows with what explains it, in its order.

    `zones` says by period where its days begin, `zone` where that is not said. Whose usage is
    `user`'s own leads to its days.
    """
    shown = [line for line in lines if is_shown(line)]
    return [
        _explained(line, view, reader, user=user, zone=zones.get(line.period_id, zone))
        for line, view in zip(shown, views, strict=True)
    ]


def _explained(
    line: InvoiceLine, view: LineView, reader: Reader, *, user: Customer, zone: str
) -> dict[str, Any]:
    usage = usage_view(line, reader, zone=zone) if line.kind == LineKind.USAGE else None
    is_own = line.subscription.customer_id == user.pk
    return {
        "view": view,
        "usage": usage,
        "facts": [*_counted(line, view, usage, reader), _how(line, view, reader)],
        "days_url": _days_url(line) if is_own else "",
    }


def _counted(
    line: InvoiceLine, view: LineView, usage: UsageView | None, reader: Reader
) -> Iterator[tuple[str, str]]:
    """Say from how many events what was billed came, and what of it is included."""
    if usage is None:
        return
    say = words.of(reader.tag)
    yield say["counted"], f"{usage.used} {usage.unit}".strip() + f" · {usage.note}"
    for note in view.notes:
        yield say["formula"], note
    included = Decimal(line.explanation["included"])
    text = say["allowance_of"].format(included=usage.included, over=usage.over)
    yield say["allowance"], text if included else say["allowance_none"]


def _how(line: InvoiceLine, view: LineView, reader: Reader) -> tuple[str, str]:
    say = words.of(reader.tag)
    if not view.rows and view.unit_price:
        return say["how"], f"{view.quantity} × {view.unit_price} = {view.net}"
    return say["how"], say[_check(line)]


def _check(line: InvoiceLine) -> str:
    if line.kind in (LineKind.MINIMUM, LineKind.COMMITMENT):
        return "check_minimum"
    if line.kind != LineKind.USAGE:
        return "check_fee"
    return "check_usage" if Decimal(line.explanation["overage"]) else "check_within"


def _days_url(line: InvoiceLine) -> str:
    """Lead to the days that a line measured."""
    if line.kind != LineKind.USAGE or line.metric is None:
        return ""
    last = line.service_end - timedelta(days=1)
    query = urlencode({"from": line.service_start, "to": last})
    return f"{reverse('portal:metric', args=(line.metric.key,))}?{query}"
