"""From measured usage and a subscription's terms to the lines of an invoice.

The close, the upcoming invoice and every preview call `compose`; it reads no table and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import chain

from billing.add_ons import add_on_line
from billing.calculation import Tax, Taxed, TaxKey, Totals, add_up, totals
from billing.charging import (
    charge_afterwards,
    charge_ahead,
    charge_increases,
    charge_rest,
    charge_usage,
    owned,
)
from billing.commitment import charge_commitment
from billing.coupons import Held, allowances
from billing.history import Past, PastKey
from billing.included_tax import split_off_tax
from billing.models import (
    InvoiceAllowance,
    InvoiceLine,
    LineKind,
    SoldAddOn,
    TaxSubtotal,
)
from billing.offers import Served
from billing.rates import Taxation
from billing.unused import Unused, credits
from catalog import money
from catalog.models import Timing
from catalog.money import EXACT, ZERO
from customers.models import Subscription
from customers.terms import prices_include_tax

Changes = Mapping[str, Sequence[tuple[date, Decimal]]]
"""The quantities that were stated, by the price's key: from which day, how many."""


@dataclass(frozen=True)
class Composed:
    """Lines, allowances and taxes, unsaved, without their invoice, and what they add up to.

    `leaving` are the credits that leave it, as the total would be below zero with them (R32a).
    """

    lines: list[InvoiceLine]
    allowances: list[InvoiceAllowance]
    taxes: list[TaxSubtotal]
    totals: Totals
    currency: str
    include_tax: bool = False
    """Whether lines and coupons are priced with tax."""
    leaving: list[InvoiceLine] = field(default_factory=list)

    @property
    def every(self) -> list[InvoiceLine]:
        """Its lines, and then those that leave it."""
        return [*self.lines, *self.leaving]


def compose(
    *,
    subscription: Subscription,
    ended: Sequence[Served],
    starting: Served | None,
    past: Mapping[PastKey, Sequence[Past]],
    ahead: Mapping[int, Decimal],
    taxation: Taxation,
    currency: str,
    coupons: Sequence[Held] = (),
    unused: Sequence[Unused] = (),
    add_ons: Sequence[SoldAddOn] = (),
    late: Sequence[tuple[InvoiceLine, Tax]] = (),
    beside: Sequence[Taxed] = (),
    fees: Sequence[Served] = (),
) -> Composed:
    """Charge the period that ended in arrears and the one that starts in advance (R21).

    `ended` has the parts of the period that ended, several where the plan changed within it (R20).
    `past` is what was billed before it, which each line tells beside its own; `ahead`, by period,
    what earlier invoices charged for its parts; and `coupons` what reduces the lines, in this order.
    `fees` are periods whose advance fee is charged besides, since their plan changed (R20).
    `add_ons` are charged once besides. Below all that come what is `late` of earlier periods, each
    line with its own tax, and credits of `unused` fees; where the total would be below zero with
    them, and with what is charged `beside` them on the same invoice, the credits leave it (R32a). An
    opening has no period that ended, a last invoice none that starts, and one over nothing but late
    usage neither.
    """
    exponent = money.exponent(currency)
    changes = _changes(subscription)
    charges: list[tuple[int, InvoiceLine]] = []
    if starting:
        charges += _ahead(starting, changes, exponent)
    for part in fees:
        charges += _ahead(part, changes, exponent)
        if part.period.closed_at:
            charges += _increases(part, changes, exponent)
    for part in ended:
        if part.fee_is_due:
            charges += _ahead(part, changes, exponent)
        charges += _afterwards(part, changes, past, exponent)
    ordered = [line for _, line in sorted(charges, key=lambda charge: charge[0])]
    for part in ended:
        kept = _kept(part, ahead, unused)
        of_the_part = [line.priced for line in ordered if line.period is part.period]
        of_the_interval = [line.priced for line, _ in late if _is_of(line, part)]
        charged = add_up([kept, *of_the_part, *of_the_interval])
        ordered += charge_commitment(part, money.round_half_up(charged, exponent))
    ordered += map(add_on_line, add_ons)
    return _assembled(
        ordered,
        subscription,
        taxation=taxation,
        coupons=coupons,
        unused=unused,
        late=late,
        currency=currency,
        beside=beside,
    )


def compose_one_off(
    *, subscription: Subscription, add_ons: Sequence[SoldAddOn], taxation: Taxation
) -> Composed:
    """Charge add-ons, one or more of one currency, on an invoice of their own."""
    lines = [add_on_line(sold) for sold in add_ons]
    return _assembled(
        lines,
        subscription,
        taxation=taxation,
        coupons=(),
        unused=(),
        late=(),
        currency=add_ons[0].currency,
    )


def _assembled(
    ordered: list[InvoiceLine],
    subscription: Subscription,
    *,
    taxation: Taxation,
    coupons: Sequence[Held],
    unused: Sequence[Unused],
    late: Sequence[tuple[InvoiceLine, Tax]],
    currency: str,
    beside: Sequence[Taxed] = (),
) -> Composed:
    """Number and tax lines, take coupons off, settle what is late or unused, and add up."""
    exponent, include_tax = money.exponent(currency), prices_include_tax(subscription)
    taxes: dict[TaxKey, Tax] = {}
    for position, line in enumerate(ordered, start=1):
        line.position, line.subscription = position, subscription
        tax = taxation.on(line.rate_category, line.service_end)
        line.tax_category, line.tax_rate = tax.category, tax.rate
        taxes.setdefault((tax.category, tax.rate), tax)
    reduced = list(allowances(ordered, coupons, exponent=exponent))
    taxed = [Taxed(line.priced, taxes[line.tax_category, line.tax_rate]) for line in ordered]
    taxed += [Taxed(-one.priced, taxes[one.tax_category, one.tax_rate]) for one in reduced]
    below = [*sorted(late, key=_charges_first), *credits(unused, exponent=exponent)]
    with_all = [*beside, *taxed, *(Taxed(line.priced, own_tax) for line, own_tax in below)]
    is_too_much = totals(with_all, exponent=exponent, include_tax=include_tax).total < 0
    leaving: list[InvoiceLine] = []
    left: list[Taxed] = []
    for place, (line, own_tax) in enumerate(below, start=len(ordered) + 1):
        line.position, line.subscription = place, subscription
        line.tax_category, line.tax_rate = own_tax.category, own_tax.rate
        line.leaves = is_too_much and line.priced < 0
        (leaving if line.leaves else ordered).append(line)
        (left if line.leaves else taxed).append(Taxed(line.priced, own_tax))
    added = totals(taxed, exponent=exponent, include_tax=include_tax)
    if include_tax:
        split_off_tax(ordered, reduced, bases_of(added), exponent=exponent)
        bases = bases_of(totals(left, exponent=exponent, include_tax=True))
        split_off_tax(leaving, [], bases, exponent=exponent)
    subtotals = [subtotal(*one) for one in added.subtotals]
    return Composed(ordered, reduced, subtotals, added, currency, include_tax, leaving)


def bases_of(added: Totals) -> dict[TaxKey, Decimal]:
    """Return what lines come to without tax, by category and rate."""
    return {(one.tax.category, one.tax.rate): one.base for one in added.subtotals}


def _ahead(served: Served, changes: Changes, exponent: int) -> Iterator[tuple[int, InvoiceLine]]:
    """Yield the advance fees of a period, each with its price's place on the invoice."""
    for price, value, own_since in served.offer.prices:
        own = served.service_period(price)
        if price.timing == Timing.ADVANCE and own.begins_with(served.period):
            stated = changes.get(price.key, [])
            for line in charge_ahead(price, value, served.period, own, stated, exponent):
                yield price.position, owned(line, own_since)


def _afterwards(
    ended: Served, changes: Changes, past: Mapping[PastKey, Sequence[Past]], exponent: int
) -> Iterator[tuple[int, InvoiceLine]]:
    """Yield what is charged for a period once it is over: usage, and what was added in it."""
    yield from _increases(ended, changes, exponent)
    for price, value, own_since in ended.offer.prices:
        stated, own = changes.get(price.key, []), ended.service_period(price)
        lines: Iterable[InvoiceLine]
        if price.timing == Timing.ADVANCE or not own.ends_with(ended.period):
            continue  # it is charged where its own interval begins or ends (R4)
        if price.metric:
            usage = ended.snapshots[price.metric.pk]
            before = past.get(ended.offer.past_key(price), ())
            lines = charge_usage(price, value, ended, own, usage, before, exponent)
        else:
            lines = charge_afterwards(price, value, ended.period, own, stated, exponent)
        for line in lines:
            yield price.position, owned(line, own_since)


def _increases(
    served: Served, changes: Changes, exponent: int
) -> Iterator[tuple[int, InvoiceLine]]:
    """Yield what was added during a period to what is charged in advance, and what that left out."""
    for price, value, own_since in served.offer.prices:
        if price.timing == Timing.ADVANCE:
            stated, own = changes.get(price.key, []), served.service_period(price)
            billed = served.billed_units.get(price.key)
            until = served.billed_until.get(price.key)
            for line in chain(
                charge_rest(
                    price, value, served.period, own, stated, exponent, since=until, billed=billed
                ),
                charge_increases(price, value, served.period, own, stated, exponent, billed=billed),
            ):
                yield price.position, owned(line, own_since)


def _is_of(late: InvoiceLine, part: Served) -> bool:
    """Whether late usage counts towards the commitment of an interval that a part ends (R16)."""
    own = part.plan_period
    return late.kind == LineKind.LATE and own.start_date <= late.service_start < own.end_date


def _kept(part: Served, ahead: Mapping[int, Decimal], unused: Sequence[Unused]) -> Decimal:
    """Return what was charged ahead for a part of a period, less what is credited of it."""
    pk = part.period.pk
    credited = add_up(one.left for one in unused if one.line.period_id == pk)
    return EXACT.subtract(ahead.get(pk, ZERO), credited)


def _charges_first(late: tuple[InvoiceLine, Tax]) -> tuple[bool, bool]:
    """Order credits after charges: first of a commitment, which late usage beside it makes up for."""
    line, _ = late
    return line.priced < 0, line.kind == LineKind.LATE


def _changes(subscription: Subscription) -> dict[str, list[tuple[date, Decimal]]]:
    found: dict[str, list[tuple[date, Decimal]]] = {}
    for row in subscription.quantities.all():
        found.setdefault(row.price_key, []).append((row.starts_on, row.quantity))
    return found


def subtotal(tax: Tax, base: Decimal, amount: Decimal) -> TaxSubtotal:
    """Return the tax of one category and rate, unsaved."""
    return TaxSubtotal(
        category=tax.category,
        rate=tax.rate,
        base=base,
        amount=amount,
        reason=tax.reason,
        rate_category=tax.rate_category,
        country=tax.country,
        basis=tax.basis,
    )
