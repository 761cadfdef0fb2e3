"""Whatever comes late, is voided or replaced: the bill and its differences are the bill on time (R31)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.test import override_settings
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from billing.calculation import add_up
from billing.models import Invoice, InvoiceLine
from billing.services.issuing import issue_invoices
from billing.services.lateness import settle_late_usage
from config.base.audit import SYSTEM
from customers.models import Subscription
from metering.events import event_key
from metering.services import replace_event, void_events
from tests import factories as make
from tests.billing.months import close, use

pytestmark = pytest.mark.django_db
D = Decimal
MONTHS = 3
CLOSES = MONTHS + 5
"""The last ones have nothing but late usage, and carry what is credited."""


@dataclass(frozen=True)
class Use:
    """Calls in a month, which arrive some closes later, and what becomes of them some closes on."""

    month: int
    calls: Decimal
    delay: int
    fate: Decimal | None
    """Zero voids the event, any other number replaces its calls, and nothing leaves it."""
    fate_delay: int

    @property
    def in_the_end(self) -> Decimal:
        return self.calls if self.fate is None else self.fate


calls = st.decimals(0, 300, places=1)
uses = st.lists(
    st.builds(
        Use,
        month=st.integers(0, MONTHS - 1),
        calls=calls,
        delay=st.integers(0, 2),
        fate=st.none() | st.just(D(0)) | calls,
        fate_delay=st.integers(0, 1),
    ),
    max_size=8,
)
Terms = tuple[dict[str, Any] | None, Decimal | None]
PRICES: list[dict[str, Any]] = [
    {"included_quantity": D(100)},
    {"minimum": D(15), "maximum": D(80)},
    {"discount_percent": D("12.5"), "included_quantity": D(10)},
]
TERMS: list[Terms] = [
    (None, None),
    (None, D(120)),
    ({"percent": D("7.5"), "duration": "forever"}, None),
    ({"amount": D(40), "duration": "forever"}, None),
]
"""A coupon, and the least that a month comes to."""


def closes_at(n: int) -> datetime:
    """The 2nd of the month after the nth, from September 2026 on."""
    return datetime(2026 + (9 + n) // 12, (9 + n) % 12 + 1, 2, 1, tzinfo=UTC)


def send(
    subscription: Subscription, one: Use, n: int, calls: Decimal, *, arrives: datetime
) -> UUID:
    name = f"{subscription.key}-{n}"
    day = datetime(2026, 9 + one.month, 10 + n, tzinfo=UTC)
    use(subscription, day, id=name, received_at=arrives, calls=str(calls))
    return UUID(bytes=event_key("test", name))


def happens(subscription: Subscription, uses: Sequence[Use], *, before_close: int) -> None:
    """Let arrive, and change, what does so between the close before this one and this one."""
    moment = closes_at(before_close).replace(day=1, hour=0)
    for n, one in enumerate(uses):
        arrival = one.month + one.delay
        if arrival == before_close:
            send(subscription, one, n, one.calls, arrives=moment)
        if one.fate is None or arrival + one.fate_delay != before_close:
            continue
        key = UUID(bytes=event_key("test", f"{subscription.key}-{n}"))
        told: dict[str, Any] = {"reason": "A test.", "at": moment, "actor": SYSTEM}
        if one.fate:
            replace_event(key=key, data={"calls": str(one.fate)}, **told)
        else:
            void_events(keys=[key], **told)


def charged(subscription: Subscription) -> dict[date, Decimal]:
    """Return what is charged after coupons, and credited, by the month that it is for."""
    lines = InvoiceLine.every.filter(subscription=subscription)
    found = {
        month: [line.net for line in lines if line.service_start == month]
        for month in {line.service_start for line in lines}
    }
    for invoice in Invoice.objects.filter(lines__subscription=subscription).distinct():
        assert invoice.total >= 0
        months = {line.position: line.service_start for line in invoice.lines.all()}
        for allowance in invoice.allowances.all():
            for share in allowance.shares:
                found[months[share["line"]]].append(-D(share["amount"]))
    return {month: add_up(amounts) for month, amounts in found.items()}


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    uses=uses,
    price=st.sampled_from(PRICES),
    terms=st.sampled_from(TERMS),
    daily=st.booleans(),
)
def test_on_time_is_the_bill_and_its_differences(
    uses: list[Use], price: dict[str, Any], terms: Terms, daily: bool
) -> None:
    coupon, least = terms
    with transaction.atomic(), override_settings(LATE_USAGE_DAYS=400):
        metric = make.metric("calls", rounding_scale=1)
        ladder = make.graduated(metric, "50 @ 0.333, rest @ 0.1234", key="calls", **price)
        plan = make.published(make.flat("base", "10"), ladder, minimum_commitment=least)
        late, on_time = (
            make.subscription(make.customer(key), plan, key=key, starts_on=date(2026, 9, 1))
            for key in ("late", "on-time")
        )
        if coupon:
            given_away = make.coupon("welcome", **coupon)
            for subscription in (late, on_time):
                make.applied_coupon(subscription, given_away, starts_on=date(2026, 9, 1))
        for n, one in enumerate(uses):
            if one.in_the_end or one.fate is None:
                at_once = closes_at(one.month).replace(day=1, hour=0)
                send(on_time, one, n, one.in_the_end, arrives=at_once)
        for n in range(CLOSES):
            happens(late, uses, before_close=n)
            if daily:
                settle_late_usage(as_of=closes_at(n).replace(hour=0))
            close(closes_at(n))
            unusual = Invoice.objects.filter(status="review").values_list("pk", flat=True)
            issue_invoices(invoice_ids=list(unusual), as_of=closes_at(n), actor=SYSTEM)
        found, expected = charged(late), charged(on_time)
        if coupon:  # what it takes off is shared among lines of several months
            assert sum(found.values()) == sum(expected.values())
        else:
            assert found == expected
        transaction.set_rollback(True)
