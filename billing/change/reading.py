"""What is compared: an invoice's rows, and those of the last one of the same subscriptions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.db.models import OuterRef, Q, Subquery

from billing.change.decomposition import Change, Charge, DriverKind, decompose
from billing.models import Invoice, InvoiceLine, LineKind, PeriodCharge, Purpose
from billing.models.invoices import NUMBERED
from billing.offers import Offer
from catalog import pricing
from catalog.models import PlanVersion, PriceModel
from catalog.money import EXACT, ZERO, exponent
from catalog.pricing import WHOLE, DayFraction
from customers.models import Subscription

_PERIODICAL = (Purpose.OPENING, Purpose.REGULAR, Purpose.FINAL)
_NOT_BY_QUANTITY = (PriceModel.PERCENTAGE, PriceModel.MATRIX)
_KINDS = {
    LineKind.FEE: DriverKind.FEE,
    LineKind.USAGE: DriverKind.USAGE,
    LineKind.CREDIT: DriverKind.CREDIT,
    LineKind.COMMITMENT: DriverKind.OTHER,
    LineKind.ADD_ON: DriverKind.OTHER,
    LineKind.LATE: DriverKind.ADJUSTMENT,
}

Prices = Mapping[int, pricing.Price]
"""The price under which a line was charged, by the line, where it can be asked again."""


def change_of(invoice: Invoice) -> tuple[Change, list[Invoice]] | None:
    """Compare an invoice, loaded `with_lines`, with the last before it; None where there is none.

    The last of each subscription that it bills a period of: issued before, to the same buyer by the
    same seller in the same currency, for a period as well, and not void by then. Returns them too,
    in the order of their issue. At most eight queries.
    """
    before = _last_before(invoice)
    if not before:
        return None
    exp = exponent(invoice.currency)
    old = [line for one in before for line in one.lines.all()]
    new = list(invoice.lines.all())
    prices = _asked_again(old, new)
    last = [
        charge
        for one in before
        for charge in _charges(one, list(one.lines.all()), prices, others=_versions(new))
    ]
    return decompose(last, _charges(invoice, new, {}, others=_versions(old)), exponent=exp), before


def _last_before(invoice: Invoice) -> list[Invoice]:
    """Return the last invoices of the subscriptions whose period an invoice bills."""
    mine = {one.subscription_id for one in invoice.charges.all() if one.purpose in _PERIODICAL}
    if not mine:
        return []
    candidates = PeriodCharge.objects.filter(
        subscription=OuterRef("pk"),
        purpose__in=_PERIODICAL,
        invoice__customer=invoice.customer_id,
        invoice__issuer=invoice.issuer_id,
        invoice__currency=invoice.currency,
        invoice__status__in=NUMBERED,
    )
    if invoice.issued_at is None:
        candidates = candidates.filter(invoice__voided_at=None)
    else:
        at = invoice.issued_at
        candidates = candidates.filter(
            Q(invoice__voided_at=None) | Q(invoice__voided_at__gt=at),
            Q(invoice__issued_at__lt=at) | Q(invoice__issued_at=at, invoice__lt=invoice.pk),
        )
    newest = candidates.order_by("-invoice__issued_at", "-invoice_id").values("invoice")[:1]
    found = Subscription.objects.filter(pk__in=mine).annotate(last=Subquery(newest))
    ids = {last for last in found.values_list("last", flat=True) if last is not None}
    return list(
        Invoice.objects.filter(pk__in=ids)
        .prefetch_related("lines__price", "allowances__applied")
        .order_by("issued_at", "pk")
    )


def _versions(lines: Iterable[InvoiceLine]) -> dict[int, set[int]]:
    """Return the plan versions that lines charge, by subscription."""
    found: dict[int, set[int]] = {}
    for line in lines:
        if line.price:
            found.setdefault(line.subscription_id, set()).add(line.price.version_id)
    return found


def _charges(
    invoice: Invoice,
    lines: Sequence[InvoiceLine],
    prices: Prices,
    *,
    others: Mapping[int, set[int]],
) -> Iterator[Charge]:
    minimums = _minimums(lines)
    for line in lines:
        if line.kind == LineKind.MINIMUM:
            continue
        net = EXACT.add(line.priced, minimums.pop(_of_price(line), ZERO))
        kind = DriverKind.ADJUSTMENT if line.is_late else _KINDS[LineKind(line.kind)]
        if kind == DriverKind.USAGE:
            yield _usage(line, net, prices.get(line.pk), others)
        else:
            key = line.price.key if line.price else line.description
            yield Charge(
                kind, (line.subscription_id, line.kind, key), line.description, net, line.kind
            )
    for (subscription, *_), net in minimums.items():
        yield Charge(DriverKind.OTHER, (subscription, "minimum"), "", net, LineKind.MINIMUM)
    for allowance in invoice.allowances.all():
        yield Charge(
            DriverKind.CREDIT,
            ("coupon", allowance.applied.coupon_id),
            allowance.description,
            EXACT.minus(allowance.priced),
        )


def _minimums(lines: Iterable[InvoiceLine]) -> dict[tuple[object, ...], Decimal]:
    """Return the minimum charges, to be counted with the line that they are below."""
    found: dict[tuple[object, ...], Decimal] = {}
    for line in lines:
        if line.kind == LineKind.MINIMUM:
            found[_of_price(line)] = EXACT.add(found.get(_of_price(line), ZERO), line.priced)
    return found


def _of_price(line: InvoiceLine) -> tuple[object, ...]:
    return (line.subscription_id, line.price_id, line.service_start)


def _usage(
    line: InvoiceLine,
    net: Decimal,
    value: pricing.Price | None,
    others: Mapping[int, set[int]],
) -> Charge:
    assert line.price is not None
    said = line.explanation
    return Charge(
        DriverKind.USAGE,
        (line.subscription_id, line.price.metric_id),
        line.description,
        net,
        line.kind,
        line.unit,
        line.unit_plural,
        used=Decimal(said["used"]),
        price_key=line.price.key,
        terms=_terms(line),
        value=value,
        part=_part(said),
        is_of_both=line.subscription_id not in others
        or line.price.version_id in others[line.subscription_id],
    )


def _terms(line: InvoiceLine) -> tuple[int | None, str]:
    return line.price_id, line.explanation.get("own_terms_since", "")


def _part(said: Mapping[str, Any]) -> DayFraction:
    return DayFraction.parse(said["period_fraction"]) if "period_fraction" in said else WHOLE


def _asked_again(old: Sequence[InvoiceLine], new: Sequence[InvoiceLine]) -> Prices:
    """Return the prices of lines whose metric is charged under other terms now."""
    charged: dict[tuple[int, int | None], set[object]] = {}
    for line in new:
        if line.kind == LineKind.USAGE and line.price:
            key = (line.subscription_id, line.price.metric_id)
            charged.setdefault(key, set()).add(_terms(line))
    wanted = [
        line
        for line in old
        if line.kind == LineKind.USAGE
        and line.price
        and line.price.model not in _NOT_BY_QUANTITY
        and charged.get((line.subscription_id, line.price.metric_id), {_terms(line)})
        != {_terms(line)}
    ]
    if not wanted:
        return {}
    versions = {line.price.version_id for line in wanted if line.price}
    offers = {
        pk: Offer(version)
        for pk, version in PlanVersion.objects.with_prices().in_bulk(versions).items()
    }
    subscriptions = Subscription.objects.prefetch_related("overrides").in_bulk(
        {line.subscription_id for line in wanted}
    )
    found = {}
    for line in wanted:
        assert line.price is not None
        offer = offers[line.price.version_id].to(
            subscriptions[line.subscription_id], day=line.service_start
        )
        [value] = [one.value for one in offer.prices if one.price.pk == line.price_id]
        found[line.pk] = value
    return found
