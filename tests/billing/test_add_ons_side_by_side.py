"""Add-ons while several people and workers act at once: each sale is still billed once."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest
from django.db import connection

from billing.models import InvoiceLine, SoldAddOn
from billing.services.add_ons import sell_add_on, withdraw_add_on
from billing.services.closing import close_subscriptions
from billing.services.issuing import InvoiceNotDraft, issue_invoices
from billing.services.one_offs import bill_one_offs
from config.base.audit import SYSTEM
from config.base.errors import Refusal
from config.base.invariants import audit
from customers.models import Subscription
from customers.services import end_subscription
from tests import factories as make
from tests.billing.months import close
from tests.billing.side_by_side import at_once

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer"),
]

NOV = date(2026, 11, 1)
LATER = datetime(2026, 12, 5, tzinfo=UTC)


def subscribed() -> Subscription:
    buyer = make.customer(manual_approval=True)
    return make.subscription(buyer, make.published(make.flat(amount="100")), starts_on=NOV)


def charged() -> int:
    """Return on how many live invoices there is a sale; the audit has nothing to say."""
    [result] = audit(at=LATER, names=["add_ons_billed_once"])
    assert not result.findings
    lines = InvoiceLine.objects.filter(kind="add_on")
    return lines.exclude(invoice__status__in=["void", "discarded"]).count()


def test_two_workers_bill_what_was_left_over_once() -> None:
    subscription = subscribed()
    end_subscription(
        subscription_id=subscription.pk, ends_on=date(2026, 12, 1), today=NOV, actor=SYSTEM
    )
    close(LATER)
    make.sold_add_on(subscription, at=LATER)
    at_once(*[lambda: bill_one_offs(as_of=LATER)] * 4)
    assert charged() == 1


def test_two_closes_bill_it_once() -> None:
    subscription = subscribed()
    make.sold_add_on(subscription)
    ids = [subscription.pk]
    at_once(*[lambda: close_subscriptions(subscription_ids=ids, as_of=LATER)] * 4)
    assert charged() == 1


def test_two_people_sell_it_under_one_key_once() -> None:
    subscription, add_on = subscribed(), make.add_on()

    def sell() -> SoldAddOn:
        return sell_add_on(
            subscription_id=subscription.pk,
            add_on=add_on,
            key="k",
            quantity=D(1),
            at=LATER,
            actor=SYSTEM,
        )

    answers = at_once(sell, sell, sell)
    assert sorted(type(one).__name__ for one in answers) == ["KeyTaken", "KeyTaken", "SoldAddOn"]
    assert SoldAddOn.objects.count() == 1


@pytest.mark.parametrize("attempt", range(3))
def test_withdrawn_while_it_is_issued_it_is_one_or_the_other(attempt: int) -> None:
    sold = make.sold_add_on(subscribed())
    [opening, *_] = close(datetime(2026, 11, 2, tzinfo=UTC))
    withdrawn, issued = at_once(
        lambda: withdraw_add_on(sold_id=sold.pk, reason="x", at=LATER, actor=SYSTEM),
        lambda: issue_invoices(invoice_ids=[opening.pk], as_of=LATER, actor=SYSTEM),
    )
    assert not isinstance(issued, InvoiceNotDraft)
    assert charged() == (1 if isinstance(withdrawn, Refusal) else 0)


def test_withdrawn_while_it_is_billed_it_is_never_both() -> None:
    sold = make.sold_add_on(subscribed())
    ids = [sold.subscription_id]
    at_once(
        lambda: withdraw_add_on(sold_id=sold.pk, reason="x", at=LATER, actor=SYSTEM),
        lambda: close_subscriptions(subscription_ids=ids, as_of=LATER),
    )
    close(LATER)
    assert charged() == 0
