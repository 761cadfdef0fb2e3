"""What finance would do about events in quarantine: create, map, correct, choose or compare."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.urls import reverse

from catalog.models import MetricStatus, ValueMetric
from config.base.fields import validate_key
from customers.models import Customer, Subscription
from metering import properties
from metering.models import QuarantineCode, QuarantinedEvent

SIMILAR_AMONG = 500
CHOICES = 100

Choices = list[tuple[str, str]]


class LikelyFix(NamedTuple):
    """What to do, in sentences; a page to go to; and what the events should have said instead.

    `field` is the attribute to be mended, empty if each event needs its own value; `choices` are
    likely values and their names, of which the first is the likeliest.
    """

    sentences: list[str]
    label: str = ""
    url: str = ""
    field: str = ""
    field_label: str = ""
    choices: Choices = []


def first_step(code: str, about: str, sample: QuarantinedEvent, user: Any) -> tuple[str, str]:
    """Return the label and address of the page that mends the cause, if the user may; else empty.

    Asks the database nothing of its own, so that a list can show it in every row.
    """
    if code in _NEEDED and not user.has_perm(_NEEDED[QuarantineCode(code)]):
        return "", ""
    match code:
        case QuarantineCode.UNKNOWN_CUSTOMER if _is_key(about):
            query = urlencode({"key": about, "name": about})
            return f"Create customer “{about}”", f"{_page('customers_customer_add')}?{query}"
        case QuarantineCode.UNKNOWN_TYPE:
            query = urlencode(_metric(about, sample))
            return f"Create a metric for “{about}”", f"{_page('catalog_valuemetric_add')}?{query}"
        case QuarantineCode.MISSING_VALUE | QuarantineCode.BAD_VALUE:
            query = urlencode({"q": about})
            return "Look at its metrics", f"{_page('catalog_valuemetric_changelist')}?{query}"
    return "", ""


def likely_fix(code: str, about: str, sample: QuarantinedEvent, user: Any) -> LikelyFix:
    """Return what to do about a group of events in quarantine, or a single one."""
    label, url = first_step(code, about, sample, user)
    match code:
        case QuarantineCode.UNKNOWN_CUSTOMER:
            return LikelyFix(
                [
                    "If this is a new customer, create it with this very key and try again."
                    if _is_key(about)
                    else "No customer can have such a key: say whose events these are.",
                    "If the sender misspelt one of yours, say which.",
                ],
                label, url, "subject", "They are of the customer", _similar_customers(about),
            )  # fmt: skip
        case QuarantineCode.UNKNOWN_TYPE:
            return LikelyFix(
                [
                    "If you charge for this, it needs a metric that counts events of this type."
                    + ("" if label else " A Finance lead can create one."),
                    "If the sender calls a known type otherwise, say which.",
                ],
                label, url, "type", "They are of the type", _types(),
            )  # fmt: skip
        case QuarantineCode.AMBIGUOUS_SUBSCRIPTION | QuarantineCode.UNKNOWN_SUBSCRIPTION:
            return LikelyFix(
                ["Choose the subscription that these events are billed by."],
                field="subscription",
                field_label="They are billed by",
                choices=_subscriptions(about),
            )
        case QuarantineCode.MISSING_VALUE | QuarantineCode.BAD_VALUE:
            return LikelyFix(
                [
                    "Correct the value of each event: open it and choose “Fix and count”.",
                    "If the metric reads the wrong property, change the metric and try again.",
                ],
                label,
                url,
            )
        case QuarantineCode.FUTURE_TIME:
            return LikelyFix(
                [
                    "If the sender’s clock was right, try again once the time has come.",
                    "If it was wrong, open each event and correct its time.",
                ]
            )
        case QuarantineCode.ARCHIVED_MONTH:
            return LikelyFix(
                [
                    "The events of their month lie in a file, and what it was billed is settled.",
                    "To count them all the same, let the month be restored "
                    "(manage.py restore_events 2025-09) and try again; otherwise dismiss them.",
                ]
            )
        case QuarantineCode.ARCHIVED_MONTH:
            return LikelyFix(
                [
                    "The events of this month lie in an archive, and its periods are settled.",
                    "Restore the month and try again, or correct the time if the sender erred.",
                ]
            )
        case _:
            return LikelyFix(
                [
                    "Another event with the same source and id counts already, with other content.",
                    "Compare the two. If this one should have counted, let the sender send it under "
                    "a new id, or correct the one that counts; then dismiss this one.",
                ]
            )


_NEEDED = {
    QuarantineCode.UNKNOWN_CUSTOMER: "customers.add_customer",
    QuarantineCode.UNKNOWN_TYPE: "catalog.add_valuemetric",
    QuarantineCode.MISSING_VALUE: "catalog.view_valuemetric",
    QuarantineCode.BAD_VALUE: "catalog.view_valuemetric",
}


def _page(name: str) -> str:
    return reverse(f"admin:{name}")


def _is_key(text: str) -> bool:
    try:
        validate_key(text)
    except ValidationError:
        return False
    return True


def _metric(type_: str, sample: QuarantinedEvent) -> dict[str, str]:
    """Return what a metric for this type would say: it adds up the first number of its data."""
    data = properties.read(sample.raw).get("data")
    numbers = [
        name
        for name, value in (data if isinstance(data, dict) else {}).items()
        if properties.quantity(value) is not None
    ]
    found = {"event_type": type_, "key": re.sub(r"[^a-z0-9]+", "_", type_.lower()).strip("_")}
    if numbers:
        return {**found, "aggregation": "sum", "value_property": numbers[0]}
    return {**found, "aggregation": "count"}


def _similar_customers(key: str) -> Choices:
    """Return customers whose key or name is like this one, the likeliest first."""
    begins = Customer.objects.filter(key__istartswith=key[:2]) if key else Customer.objects.none()
    rows = list(begins.order_by("key").values_list("key", "name")[:SIMILAR_AMONG])
    by_text = {key.lower(): (key, name) for key, name in rows}
    by_text |= {name.lower(): (key, name) for key, name in rows}
    found = get_close_matches(key.lower(), by_text, n=5, cutoff=0.6)
    return _named(dict.fromkeys(by_text[text] for text in found))


def _types() -> Choices:
    types = (
        ValueMetric.objects.exclude(status=MetricStatus.RETIRED)
        .order_by("event_type")
        .values_list("event_type", flat=True)
        .distinct()[:CHOICES]
    )
    return [(type_, type_) for type_ in types]


def _subscriptions(customer_key: str) -> Choices:
    rows = Subscription.objects.filter(customer__key=customer_key).order_by("key")
    return _named(rows.values_list("key", "phases__plan_version__plan__name").distinct()[:CHOICES])


def _named(rows: Iterable[tuple[str, Any]]) -> Choices:
    return [(key, f"{name} ({key})" if name and name != key else key) for key, name in rows]
