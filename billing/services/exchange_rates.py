"""Exchange rates: entered one by one, or imported from a table after a preview."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from datetime import date
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction

from billing.models import ExchangeRate
from billing.rate_tables import exchange_faults, read_exchange_rates
from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal

_SAID = ("rate", "source")

Key = tuple[str, str, date]
"""What names a rate: one of what, in what, on which day."""


class ExchangeRateTaken(Refusal):
    """There is a rate of these currencies and day already."""

    code = "exchange_rate_taken"


class ImportedRate(NamedTuple):
    """What a row of a file does: `new`, `changed`, `unchanged`, or `refused` with its reason."""

    line: int
    outcome: str
    rate: ExchangeRate | None
    message: str = ""


@transaction.atomic
def add_exchange_rate(*, rate: ExchangeRate, actor: Actor) -> ExchangeRate:
    """Save a new rate.

    :raises Invalid: naming every field at fault.
    :raises ExchangeRateTaken: if there is one of its currencies and day.
    """
    _check(rate)
    try:
        with transaction.atomic():
            rate.save(force_insert=True)
    except IntegrityError:
        if _same(rate).exists():
            message = (
                f"There is a rate of {rate.base} in {rate.quote} on that day already: change it."
            )
            raise ExchangeRateTaken(message, path=("date",)) from None
        raise
    changes = audit.changes({}, audit.state(rate, without=("uuid",)))
    audit.record(actor=actor, action="created", subject=rate, changes=changes)
    return rate


@transaction.atomic
def change_exchange_rate(*, rate_id: int, fields: Mapping[str, Any], actor: Actor) -> ExchangeRate:
    """Mend what was mistyped; invoices that are issued keep what they say.

    :raises Invalid: naming every field at fault.
    """
    rate = ExchangeRate.objects.select_for_update().get(pk=rate_id)
    changed = copy(rate)
    for name, value in fields.items():
        setattr(changed, name, value)
    _check(changed)
    records.change(rate, fields=fields, actor=actor)
    return rate


def preview_exchange_rates(text: str) -> list[ImportedRate]:
    """Say what each row of a file would do; save nothing.

    :raises Invalid: if it is no table of rates at all.
    """
    read = list(read_exchange_rates(text))
    days = [rate.date for _, rate, _ in read if rate]
    known = {_key(rate): rate for rate in ExchangeRate.objects.filter(date__in=days)}
    seen: dict[Key, int] = {}
    rows = []
    for line, rate, wrong in read:
        if rate is None:
            rows.append(ImportedRate(line, "refused", None, wrong))
        elif first := seen.get(_key(rate)):
            rows.append(ImportedRate(line, "refused", rate, f"Line {first} says it already."))
        else:
            seen[_key(rate)] = line
            before = known.get(_key(rate))
            is_same = before and _said(before) == _said(rate)
            outcome = "new" if before is None else "unchanged" if is_same else "changed"
            rows.append(ImportedRate(line, outcome, rate))
    return rows


@transaction.atomic
def import_exchange_rates(*, text: str, actor: Actor) -> list[ImportedRate]:
    """Save what a file says, all of it or nothing; return what each row did.

    :raises Invalid: naming each row that is refused.
    """
    rows = preview_exchange_rates(text)
    if refused := [row for row in rows if row.outcome == "refused"]:
        raise Invalid(
            Fault(("rows", row.line), "refused_row", f"Line {row.line}: {row.message}")
            for row in refused
        )
    for row in rows:
        assert row.rate is not None
        if row.outcome == "new":
            add_exchange_rate(rate=row.rate, actor=actor)
        elif row.outcome == "changed":
            kept = _same(row.rate).get()
            change_exchange_rate(rate_id=kept.pk, fields=_said(row.rate), actor=actor)
    return rows


def _check(rate: ExchangeRate) -> None:
    if faults := list(exchange_faults(rate)):
        raise Invalid(faults)


def _same(rate: ExchangeRate) -> Any:
    return ExchangeRate.objects.filter(base=rate.base, quote=rate.quote, date=rate.date)


def _key(rate: ExchangeRate) -> Key:
    return rate.base, rate.quote, rate.date


def _said(rate: ExchangeRate) -> dict[str, Any]:
    return {name: getattr(rate, name) for name in _SAID}
