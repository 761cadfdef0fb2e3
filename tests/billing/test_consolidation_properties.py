"""Whatever is on them: a shared invoice is what its subscriptions' own invoices are, taxed once (R29, R37)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.db import transaction
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from billing.calculation import add_up
from billing.models import Invoice, InvoiceLine
from billing.services import closing, issuing
from catalog.money import round_half_up
from config.base.audit import SYSTEM
from customers.models import Issuer
from tests import factories as make
from tests.billing.months import use

pytestmark = pytest.mark.django_db
D = Decimal
CLOSE = datetime(2026, 12, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Own:
    """What one subscription is charged for: a fee, calls beyond ten at a third of a cent, and less."""

    fee: Decimal
    calls: Decimal
    coupon: dict[str, Any] | None
    least: Decimal | None
    add_on: Decimal | None


cents = st.decimals(0, 90, places=2)
subscriptions = st.lists(
    st.builds(
        Own,
        fee=cents,
        calls=st.decimals(0, 5000, places=0),
        coupon=st.none()
        | st.builds(lambda percent: {"percent": percent}, st.decimals("0.5", 100, places=1))
        | st.builds(lambda amount: {"amount": amount}, st.decimals("0.01", 50, places=2)),
        least=st.none() | st.decimals(1, 60, places=0),
        add_on=st.none() | st.decimals("0.01", 90, places=2),
    ),
    min_size=1,
    max_size=4,
)
Bill = dict[str, Counter[tuple[Any, ...]]]


def billed(owns: list[Own], orders: list[int], *, consolidation: str) -> list[Invoice]:
    """Bill November to one payer of all of these, closed one by one in this order of places."""
    payer = make.customer(consolidation=consolidation)
    calls = make.metric()
    ids = []
    for number, own in enumerate(owns):
        version = make.published(
            make.flat("base", f"{own.fee:f}"),
            make.graduated(calls, "rest @ 0.003", key="calls", included_quantity=D(10)),
            minimum_commitment=own.least,
        )
        key = f"{consolidation}-{number}"
        one = make.subscription(
            make.customer(key), version, key=key, payer=payer, starts_on=date(2026, 11, 1)
        )
        if own.coupon:
            coupon = make.coupon(duration="forever", **own.coupon)
            make.applied_coupon(one, coupon)
        if own.add_on is not None:
            make.sold_add_on(one, make.add_on(name="Training", unit_amount=own.add_on))
        if own.calls:
            use(one, datetime(2026, 11, 9, tzinfo=UTC), calls=str(own.calls))
        ids.append(one.pk)
    for place in orders:
        if place < len(ids):
            closing.close_subscriptions(subscription_ids=[ids[place]], as_of=CLOSE)
    closing.close_subscriptions(subscription_ids=ids, as_of=CLOSE)
    return list(payer.invoices.with_lines().order_by("pk"))


def told(invoices: list[Invoice]) -> Bill:
    """Return what is charged and taken off each subscription, by its place."""
    found: Bill = {}
    for invoice in invoices:
        lines = {line.position: line for line in invoice.lines.all()}
        for line in lines.values():
            mine = found.setdefault(_place(line), Counter())
            mine[line.kind, line.description, line.service_start, line.net] += 1
        for one in invoice.allowances.all():
            for share in one.shares:
                line = lines[share["line"]]
                assert line.subscription_id == one.applied.subscription_id
                mine = found[_place(line)]
                mine["share", line.kind, line.service_start, D(share["amount"])] += 1
    return found


def _place(line: InvoiceLine) -> str:
    return line.subscription.key.rpartition("-")[2]


def taxed_once(invoice: Invoice) -> None:
    lines, allowances = list(invoice.lines.all()), list(invoice.allowances.all())
    assert [line.position for line in lines] == list(range(1, len(lines) + 1))
    net = add_up([*(line.net for line in lines), *(-one.amount for one in allowances)])
    [tax] = invoice.taxes.all()
    assert (invoice.net_total, tax.base) == (net, net)
    assert tax.amount == round_half_up(Fraction(net) * 19 / 100, 2)
    assert (invoice.tax_total, invoice.total) == (tax.amount, net + tax.amount)


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(owns=subscriptions, orders=st.lists(st.integers(0, 3), max_size=3), again=st.booleans())
def test_it_is_the_sum_of_those_of_each(owns: list[Own], orders: list[int], again: bool) -> None:
    with transaction.atomic():
        Issuer.objects.update(tax_status="standard", standard_tax_rate=19)
        apart = billed(owns, [], consolidation="per_subscription")
        shared = billed(owns, orders, consolidation="one_invoice")
        assert len(apart) == 2 * len(owns)
        assert len(shared) == 2
        if again:
            ids = [one.pk for one in shared]
            issuing.recalculate_invoices(invoice_ids=ids, at=CLOSE, actor=SYSTEM)
            shared = list(Invoice.objects.with_lines().filter(pk__in=ids).order_by("pk"))
        assert told(shared) == told(apart)
        for invoice in shared:
            taxed_once(invoice)
        assert add_up(one.net_total for one in shared) == add_up(one.net_total for one in apart)
        transaction.set_rollback(True)
