"""What a customer pays for, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.parties import payer_of
from billing.portal import words
from billing.portal.calculator import calculator_url
from billing.portal.invoices import today
from billing.presentation.reader import Reader, clean
from catalog import wording
from catalog.drafts import PriceDraft, drafts_of, price_value, units_of
from catalog.models import PlanVersion, Price, Timing
from customers.models import Subscription
from customers.portal import Visitor, page, signed_in
from customers.quantities import quantity_on
from customers.terms import in_force, with_own_terms, zones_of

SHOWN = 100


@require_safe
@signed_in
def plan(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """Say of each subscription that is not over what it costs, or else who pays for it."""
    now = timezone.now()
    mine = Subscription.objects.concerning(visitor.customer).not_over(on=today(visitor))
    found = list(mine.with_terms().order_by("pk")[:SHOWN])
    phases = {one.pk: in_force(one, at=now) for one in found}
    versions = PlanVersion.objects.with_prices().in_bulk(
        phase.plan_version_id for phase in phases.values()
    )
    context = {
        "words": words.of(visitor.locale),
        "subscriptions": [
            _subscription(one, versions[phases[one.pk].plan_version_id], visitor) for one in found
        ],
    }
    return page(request, "plan.html", context, visitor=visitor, current="plan")


def sentence_of(draft: PriceDraft, reader: Reader) -> str:
    """Say the rule of a price."""
    unit, units = units_of(draft.price)
    return wording.describe(
        price_value(draft),
        unit=clean(unit),
        unit_plural=clean(units),
        exponent=reader.exponent,
        locale=reader.tag,
    )


def _subscription(
    subscription: Subscription, version: PlanVersion, visitor: Visitor
) -> dict[str, Any]:
    say = words.of(visitor.locale)
    reader = Reader(visitor.locale, version.currency)
    is_user = subscription.customer_id == visitor.customer.pk
    payer = payer_of(subscription)
    pays = payer == visitor.customer
    drafts = [
        with_own_terms(draft, subscription, day=today(visitor))[0]
        for draft in drafts_of(list(version.prices.all()))
    ]
    return {
        "plan": version.plan.name,
        "about": clean(version.plan.description),
        "facts": list(_facts(subscription, version, reader, today_=today(visitor))),
        "used_by": "" if is_user else say["used_by"].format(name=subscription.customer.name),
        "paid_by": "" if pays else f"{say['paid_by']} {payer.name}. {say['paid_by_note']}",
        "terms_url": reverse("portal:terms", args=(version.plan.key, version.number)),
        "calculator_url": calculator_url(version),
        "all_in": say["all_in_gross" if version.prices_include_tax else "all_in"].format(
            currency=version.currency
        )
        if pays
        else "",
        "prices": [
            {
                "name": clean(draft.price.name),
                "timing": say["advance" if draft.price.timing == Timing.ADVANCE else "arrears"],
                "sentence": sentence_of(draft, reader),
                "now": _now(subscription, draft.price, visitor, reader),
            }
            for draft in drafts
            if pays
        ],
    }


def _changes(
    subscription: Subscription, version: PlanVersion, reader: Reader, *, today_: Any
) -> Iterator[str]:
    """Say that it is paused, and what is to come: another plan, a pause or its end."""
    say, before = words.of(reader.tag), version.pk
    was_paused = False
    for phase in subscription.phases.all():
        is_over = phase.ends_on is not None and phase.ends_on <= today_
        date = reader.long_date(phase.starts_on)
        if phase.is_paused and not is_over:
            yield say["paused_from"].format(date=date)
        elif phase.starts_on > today_ and was_paused:
            yield say["resumed_from"].format(date=date)
        elif phase.starts_on > today_ and phase.plan_version_id != before:
            yield say["plan_then"].format(date=date, plan=clean(phase.plan_version.plan.name))
        before, was_paused = phase.plan_version_id, phase.is_paused


def zone_told(subscription: Subscription, reader: Reader, *, day: date) -> str:
    """Name the time zone in which its days begin, and the one that takes over later, if one does."""
    zones, say = zones_of(subscription), words.of(reader.tag)
    later = [
        say["zone_then"].format(date=reader.long_date(since), zone=zone_name(name))
        for since, name in zones.changes
        if since > day
    ]
    return ", ".join([zone_name(zones.on(day)), *later])


def zone_name(name: str) -> str:
    """Write a time zone as people read it: "America/New York"."""
    return name.replace("_", " ")


def _facts(
    subscription: Subscription, version: PlanVersion, reader: Reader, *, today_: Any
) -> Iterator[str]:
    say, count = words.of(reader.tag), version.interval_count
    if count == 1:
        yield say["every"].format(interval=say[version.interval])
    else:
        number = reader.number(Decimal(count))
        yield say["every_many"].format(count=number, interval=say[f"{version.interval}s"])
    begins = "plan_from" if subscription.starts_on > today_ else "plan_since"
    yield say[begins].format(date=reader.long_date(subscription.starts_on))
    yield from _changes(subscription, version, reader, today_=today_)
    yield say["zone_now"].format(zone=zone_told(subscription, reader, day=today_))
    if subscription.ends_on:
        yield say["plan_until"].format(date=reader.last_day(subscription.ends_on))
    if version.minimum_commitment:
        yield say["commitment"].format(amount=reader.money(version.minimum_commitment))


def _now(subscription: Subscription, price: Price, visitor: Visitor, reader: Reader) -> str:
    """Say how many of a price without a metric there are today, where that is not simply one."""
    if price.metric:
        return ""
    stated = [
        (row.starts_on, row.quantity)
        for row in subscription.quantities.all()
        if row.price_key == price.key
    ]
    if not stated:
        return ""
    quantity = reader.units(quantity_on(today(visitor), stated), *units_of(price))
    return words.of(reader.tag)["now"].format(quantity=quantity)
