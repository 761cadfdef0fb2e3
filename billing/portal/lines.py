"""Lines with their explanation in place: what was counted, included and charged, and how to check it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from billing.models import InvoiceLine, LineKind
from billing.portal import words
from billing.presentation.lines import is_shown, usage_view
from billing.presentation.reader import Reader
from billing.presentation.views import LineView


def explained(
    lines: Sequence[InvoiceLine],
    views: Sequence[LineView],
    reader: Reader,
    *,
    zones: Mapping[int, str],
    zone: str,
) -> list[dict[str, Any]]:
    """Pair each line that an invoice shows with what explains it, in its order.

    `zones` says by period where its days begin, `zone` where that is not said.
    """
    shown = [line for line in lines if is_shown(line)]
    return [
        {"view": view, "facts": list(_facts(line, view, reader, zones.get(line.period_id, zone)))}
        for line, view in zip(shown, views, strict=True)
    ]


def _facts(
    line: InvoiceLine, view: LineView, reader: Reader, zone: str
) -> Iterator[tuple[str, str]]:
    say = words.of(reader.tag)
    if line.kind == LineKind.USAGE:
        usage = usage_view(line, reader, zone=zone)
        yield say["counted"], f"{usage.used} {usage.unit}".strip() + f" · {usage.note}"
        for note in view.notes:
            yield say["formula"], note
        included = Decimal(line.explanation["included"])
        text = say["allowance_of"].format(included=usage.included, over=usage.over)
        yield say["allowance"], text if included else say["allowance_none"]
    if not view.rows and view.unit_price:
        text = say["no_rows"].format(quantity=view.quantity, price=view.unit_price, amount=view.net)
        yield say["explain"], text
    check = {LineKind.USAGE: "check_usage", LineKind.MINIMUM: "check_minimum"}
    yield say["how"], say[check.get(LineKind(line.kind), "check_fee")]
