"""Rows for tests, saved, with sensible defaults; name only what the test is about."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from billing.models import Invoice, Payment, SoldAddOn
from billing.services.add_ons import sell_add_on
from billing.services.closing import close_subscriptions
from billing.services.issuing import issue_invoices
from billing.services.payments import Portion, record_payment
from catalog import services as catalog
from catalog.add_ons import create_add_on
from catalog.coupons import create_coupon
from catalog.drafts import PriceDraft
from catalog.models import AddOn, Coupon, Plan, PlanVersion, Price, PriceTier, ValueMetric
from config.base.audit import SYSTEM
from customers import services as customers
from customers.models import AppliedCoupon, Customer, Subscription

_number = count(1)
AT = datetime(2026, 11, 1, tzinfo=UTC)


def metric(key: str = "", **fields: Any) -> ValueMetric:
    """Add up the property `calls` of api.call events unless told otherwise."""
    key = key or f"metric-{next(_number)}"
    defaults: dict[str, Any] = {
        "name": key.capitalize(),
        "unit": "call",
        "unit_plural": "calls",
        "event_type": "api.call",
        "aggregation": "sum",
        "rounding_scale": 0,
    }
    fields = {**defaults, **fields}
    if fields["aggregation"] != "count":
        fields.setdefault("value_property", "calls")
    return catalog.create_metric(metric=ValueMetric(key=key, **fields), actor=SYSTEM)


def plan(key: str = "", **fields: Any) -> Plan:
    key = key or f"plan-{next(_number)}"
    fields.setdefault("name", key.capitalize())
    return catalog.create_plan(plan=Plan(key=key, **fields), actor=SYSTEM)


def flat(key: str = "base", amount: str = "499", **fields: Any) -> PriceDraft:
    defaults: dict[str, Any] = {"name": key.capitalize(), "timing": "advance"}
    return PriceDraft(
        Price(key=key, model="flat", unit_amount=Decimal(amount), **{**defaults, **fields})
    )


def graduated(metric: ValueMetric, ladder: str, key: str = "usage", **fields: Any) -> PriceDraft:
    """Read a ladder such as "50000 @ 0.002, rest @ 0.0015"."""
    defaults: dict[str, Any] = {"name": key.capitalize(), "timing": "arrears"}
    price = Price(key=key, model="graduated", metric=metric, **{**defaults, **fields})
    tiers = []
    for step in ladder.split(","):
        bound, amount = step.split("@")
        up_to = None if bound.strip() == "rest" else Decimal(bound.strip())
        tiers.append(PriceTier(up_to=up_to, unit_amount=Decimal(amount.strip())))
    return PriceDraft(price, tiers)


def draft(*prices: PriceDraft, plan: Plan | None = None, **terms: Any) -> PlanVersion:
    """Save a draft version in EUR a month; without prices, with a base fee of 499."""
    owner = plan or globals()["plan"]()
    return catalog.draft_version(
        plan_id=owner.pk,
        version=PlanVersion(**{"currency": "EUR", **terms}),
        prices=prices or [flat()],
        actor=SYSTEM,
    )


def published(*prices: PriceDraft, **terms: Any) -> PlanVersion:
    version = draft(*prices, **terms)
    return catalog.publish_version(version_id=version.pk, at=AT, actor=SYSTEM)


def customer(key: str = "", **fields: Any) -> Customer:
    key = key or f"customer-{next(_number)}"
    defaults: dict[str, Any] = {"name": key.capitalize(), "currency": "EUR"}
    return customers.create_customer(
        customer=Customer(key=key, **{**defaults, **fields}), actor=SYSTEM
    )


def subscription(
    customer: Customer | None = None, version: PlanVersion | None = None, **terms: Any
) -> Subscription:
    buyer = customer or globals()["customer"]()
    return customers.subscribe(
        key=terms.pop("key", f"subscription-{next(_number)}"),
        customer=buyer,
        version=version or published(currency=buyer.currency),
        starts_on=terms.pop("starts_on", date(2026, 11, 1)),
        actor=SYSTEM,
        **terms,
    )


def coupon(key: str = "", **fields: Any) -> Coupon:
    """Ten per cent off, once, unless told otherwise; an amount is in EUR."""
    key = key or f"coupon-{next(_number)}"
    fields.setdefault("name", key.capitalize())
    if "amount" in fields:
        fields.setdefault("currency", "EUR")
    else:
        fields.setdefault("percent", Decimal(10))
    return create_coupon(coupon=Coupon(key=key, **fields), actor=SYSTEM)


def applied_coupon(
    subscription: Subscription, coupon: Coupon, *, starts_on: date = date(2026, 11, 1)
) -> AppliedCoupon:
    return customers.apply_coupon(
        subscription_id=subscription.pk, coupon=coupon, starts_on=starts_on, at=AT, actor=SYSTEM
    )


def add_on(key: str = "", **fields: Any) -> AddOn:
    """At 490 EUR a piece, unless told otherwise."""
    key = key or f"add-on-{next(_number)}"
    fields = {"name": key.capitalize(), "unit_amount": Decimal(490), "currency": "EUR", **fields}
    return create_add_on(add_on=AddOn(key=key, **fields), actor=SYSTEM)


def sold_add_on(
    subscription: Subscription, add_on: AddOn | None = None, **fields: Any
) -> SoldAddOn:
    terms = {"key": f"sale-{next(_number)}", "quantity": Decimal(1), "at": AT, "actor": SYSTEM}
    return sell_add_on(
        subscription_id=subscription.pk,
        add_on=add_on or globals()["add_on"](),
        **{**terms, **fields},
    )


def issued(
    buyer: Customer | None = None,
    amount: str = "100",
    *,
    on: date = date(2026, 11, 1),
    **terms: Any,
) -> Invoice:
    """An issued invoice over one fee, without tax unless the issuer charges some."""
    payer = buyer or customer()
    version = terms.pop("version", None) or published(flat(amount=amount), currency=payer.currency)
    subscribed = subscription(payer, version, starts_on=on, **terms)
    at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    close_subscriptions(subscription_ids=[subscribed.pk], as_of=at)
    [draft] = Invoice.objects.filter(charges__subscription=subscribed)
    [invoice] = issue_invoices(invoice_ids=[draft.pk], as_of=at, actor=SYSTEM)
    return invoice


def payment(payer: Customer, amount: str, **fields: Any) -> Payment:
    """Money from a customer, in its currency, for these `portions`: invoices with amounts."""
    portions = fields.pop("portions", {})
    at = fields.pop("at", AT)
    in_other_currency = fields.pop("in_other_currency", False)
    defaults = {"currency": payer.currency, "received_on": at.date()}
    return record_payment(
        payment=Payment(customer=payer, amount=Decimal(amount), **{**defaults, **fields}),
        portions=[Portion(one.pk, Decimal(part)) for one, part in portions.items()],
        in_other_currency=in_other_currency,
        at=at,
        actor=SYSTEM,
    )
