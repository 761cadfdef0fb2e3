"""Tax rates: entered, ended, and imported from a table after a preview (R29)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import date
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction

from billing.models import TaxRate
from billing.rate_tables import rate_faults, read_tax_rates
from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal

_SAID = ("percent", "valid_until", "source")
_ENDLESS = date.max

Key = tuple[str, str, date]
"""What names a rate in a file: country, category, first day."""


class TaxRatesOverlap(Refusal):
    """Two rates of one country and category would hold on one day."""

    code = "tax_rates_overlap"


class ImportedRate(NamedTuple):
    """What a row of a file does: `new`, `changed`, `unchanged`, or `refused` with its reason."""

    line: int
    outcome: str
    rate: TaxRate | None
    message: str = ""


@transaction.atomic
def add_tax_rate(*, rate: TaxRate, actor: Actor) -> TaxRate:
    """Save a new rate.

    :raises Invalid: naming every field at fault.
    :raises TaxRatesOverlap: if another rate of its country and category holds on one of its days.
    """
    _check(rate)
    with _overlaps_by_name(rate):
        rate.save(force_insert=True)
    changes = audit.changes({}, audit.state(rate, without=("uuid",)))
    audit.record(actor=actor, action="created", subject=rate, changes=changes)
    return rate


@transaction.atomic
def change_tax_rate(*, rate_id: int, fields: Mapping[str, Any], actor: Actor) -> TaxRate:
    """Change a rate: end it, or mend what was mistyped. What is issued keeps what it says.

    :raises Invalid: naming every field at fault.
    :raises TaxRatesOverlap: if another rate of its country and category holds on one of its days.
    """
    rate = TaxRate.objects.select_for_update().get(pk=rate_id)
    changed = copy(rate)
    for name, value in fields.items():
        setattr(changed, name, value)
    _check(changed)
    with _overlaps_by_name(changed):
        records.change(rate, fields=fields, actor=actor)
    return rate


def preview_tax_rates(text: str) -> list[ImportedRate]:
    """Say what each row of a file would do; save nothing.

    A row changes the rate that begins on its day, if there is one: so a file can end a rate and
    begin the next.

    :raises Invalid: if it is no table of rates at all.
    """
    known = {_key(rate): rate for rate in TaxRate.objects.all()}
    after = dict(known)
    seen: dict[Key, int] = {}
    rows: list[ImportedRate] = []
    for line, rate, fault in read_tax_rates(text):
        if rate is None:
            rows.append(ImportedRate(line, "refused", None, fault))
            continue
        before = known.get(_key(rate))
        if first := seen.get(_key(rate)):
            rows.append(ImportedRate(line, "refused", rate, f"Line {first} says it already."))
            continue
        seen[_key(rate)] = line
        after[_key(rate)] = rate
        outcome = (
            "new" if before is None else "changed" if _said(before) != _said(rate) else "unchanged"
        )
        rows.append(ImportedRate(line, outcome, rate))
    clashes = dict(_clashes(after.values()))
    return [
        row._replace(outcome="refused", message=clashes[_key(row.rate)])
        if row.rate and row.outcome != "refused" and _key(row.rate) in clashes
        else row
        for row in rows
    ]


@transaction.atomic
def import_tax_rates(*, text: str, actor: Actor) -> list[ImportedRate]:
    """Save what a file says, all of it or nothing; return what each row did.

    :raises Invalid: naming each row that is refused.
    """
    rows = preview_tax_rates(text)
    if refused := [row for row in rows if row.outcome == "refused"]:
        raise Invalid(
            Fault(("rows", row.line), "refused_row", f"Line {row.line}: {row.message}")
            for row in refused
        )
    kept = {_key(rate): rate for rate in TaxRate.objects.all()}
    changed = [row.rate for row in rows if row.rate and row.outcome == "changed"]
    # Those first that end earlier than they did, so that they are in nobody's way.
    for rate in sorted(changed, key=lambda rate: _last(rate) >= _last(kept[_key(rate)])):
        change_tax_rate(rate_id=kept[_key(rate)].pk, fields=_said(rate), actor=actor)
    for row in rows:
        if row.rate and row.outcome == "new":
            add_tax_rate(rate=row.rate, actor=actor)
    return rows


def _check(rate: TaxRate) -> None:
    if faults := list(rate_faults(rate)):
        raise Invalid(faults)
    others = TaxRate.objects.of(rate.country, rate.category).exclude(pk=rate.pk)
    if other := others.holding(rate.valid_from, rate.valid_until).first():
        raise TaxRatesOverlap(_overlap(other), path=("valid_from",))


@contextmanager
def _overlaps_by_name(rate: TaxRate) -> Iterator[None]:
    """Tell what the database refuses because somebody was quicker as what it is."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        others = TaxRate.objects.of(rate.country, rate.category).exclude(pk=rate.pk)
        if other := others.holding(rate.valid_from, rate.valid_until).first():
            raise TaxRatesOverlap(_overlap(other), path=("valid_from",)) from None
        raise


def _overlap(other: TaxRate) -> str:
    until = f"{other.valid_until:%-d %B %Y}" if other.valid_until else "further notice"
    return (
        f"“{other}” holds from {other.valid_from:%-d %B %Y} until {until}: "
        "let it end before this one begins."
    )


def _key(rate: TaxRate) -> Key:
    return rate.country, rate.category, rate.valid_from


def _said(rate: TaxRate) -> dict[str, Any]:
    return {name: getattr(rate, name) for name in _SAID}


def _last(rate: TaxRate) -> date:
    return rate.valid_until or _ENDLESS


def _clashes(rates: Iterable[TaxRate]) -> Iterator[tuple[Key, str]]:
    """Yield both of two rates that hold on one day, each with the other that is in its way."""
    for _, same in groupby(sorted(rates, key=_key), key=lambda rate: _key(rate)[:2]):
        for before, after in pairwise(same):
            if _last(before) >= after.valid_from:
                yield _key(before), _overlap(after)
                yield _key(after), _overlap(before)
