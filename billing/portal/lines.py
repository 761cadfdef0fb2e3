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
from billing.presentation.views import LineView, RowView, UsageView
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
        _explained(line, view, reader, user=user, zone=zones.get(line.period_id or 0, zone))
        for line, view in zip(shown, views, strict=True)
    ]


def _explained(
    line: InvoiceLine, view: LineView, reader: Reader, *, user: Customer, zone: str
) -> dict[str, Any]:
    usage = usage_view(line, reader, zone=zone) if line.kind == LineKind.USAGE else None
    is_own = line.subscription.customer_id == user.pk
    return {
        "view": view,
        "about": " · ".join(filter(None, [view.period, view.summary or view.quantity])),
        "usage": usage,
        "facts": [*_counted(line, view, usage, reader), _how(line, view, reader)],
        "days_url": _days_url(line) if is_own else "",
    }


def _counted(
    line: InvoiceLine, view: LineView, usage: UsageView | None, reader: Reader
) -> Iterator[tuple[str, str]]:
    """Say from how many events what was billed came, what of it is included, and what is noted."""
    say = words.of(reader.tag)
    if usage is None:
        for note in view.notes:
            yield say["formula"], note
        return
    used = reader.units(Decimal(line.explanation["used"]), line.unit, line.unit_plural)
    yield say["counted"], f"{used} · {usage.note}"
    for note in view.notes:
        yield say["formula"], note
    included = Decimal(line.explanation["included"])
    text = say["allowance_of"].format(included=usage.included, over=usage.over)
    yield say["allowance"], text if included else say["allowance_none"]


def _how(line: InvoiceLine, view: LineView, reader: Reader) -> tuple[str, str]:
    """Say how to recompute a line with its own numbers."""
    return words.of(reader.tag)["how"], " ".join(_checks(line, view, reader))


def _checks(line: InvoiceLine, view: LineView, reader: Reader) -> Iterator[str]:
    say = words.of(reader.tag)
    if line.kind in (LineKind.MINIMUM, LineKind.COMMITMENT) and not line.is_late:
        yield say["check_minimum"]
        return
    if line.kind == LineKind.CREDIT:
        yield say["check_credit"]
    if line.kind == LineKind.USAGE:
        over = Decimal(line.explanation["overage"])
        if not over:
            yield say["check_within"]
            return
        has_allowance = Decimal(line.explanation["included"])
        yield say["check_usage" if has_allowance else "check_all"].format(over=reader.number(over))
    for step in line.explanation["steps"]:
        if "packages" in step:
            yield say["check_packages"].format(
                size=reader.number(Decimal(step["package_size"])),
                packages=reader.number(Decimal(step["packages"])),
            )
    if view.rows:
        rows = "; ".join(_check_row(row, say) for row in view.rows if row.kind != "included")
        yield say["check_rows"].format(rows=rows, net=view.net)
    elif view.unit_price:
        yield f"{view.quantity} × {view.unit_price} = {view.net}"


def _check_row(row: RowView, say: Mapping[str, str]) -> str:
    key = "check_row" if row.quantity and row.unit_price else "check_added"
    return say[key].format(
        quantity=row.quantity, price=row.unit_price, label=row.label, amount=row.amount
    )


def _days_url(line: InvoiceLine) -> str:
    """Lead to the days that a line measured."""
    if line.kind not in (LineKind.USAGE, LineKind.LATE) or line.metric is None:
        return ""
    last = line.service_end - timedelta(days=1)
    query = urlencode({"from": line.service_start, "to": last})
    return f"{reverse('portal:metric', args=(line.metric.key,))}?{query}"
