"""From a bar of usage to the events behind it: bars by month, day or hour, events, and their CSV."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from catalog.models import ValueMetric
from catalog.money import plain, round_half_up
from config.base.admin.audited import Panel
from config.base.csv import cell, download
from customers.models import Customer
from customers.periods import first_instant, local_date, month_after, zone
from metering import properties
from metering.buckets import Granularity
from metering.events import read_time
from metering.models import UsageEvent
from metering.services import usage as measuring
from metering.services.behind import Counted, all_behind, page_behind, used_metrics

VIEW = "metering.view_usageevent"
PLACES = 10
COLUMNS = (
    "time", "received_at", "source", "id", "type", "customer", "subscription", "counts", "value",
    "correction", "reason", "data",
)  # fmt: skip
_WIDTHS = [(each.value, each.value) for each in Granularity]
_FINER = {Granularity.MONTH: Granularity.DAY, Granularity.DAY: Granularity.HOUR}
_NAMES = {
    Granularity.MONTH: "%b %Y",
    Granularity.DAY: "%a %-d %b %Y",
    Granularity.HOUR: "%-d %b, %H:%M",
}


class BarsForm(forms.Form):
    """Which bars: of what, how wide, and from when until when, both days included."""

    metric = forms.ModelChoiceField(ValueMetric.objects.all(), to_field_name="key")
    by = forms.ChoiceField(choices=_WIDTHS)
    start = forms.DateField(label="From")
    end = forms.DateField(label="Until the end of")

    def clean_end(self) -> date:
        start: date | None = self.cleaned_data.get("start")
        end: date = self.cleaned_data["end"]
        if start is not None and end < start:
            raise forms.ValidationError("It must not be before the first day.")
        if end.year > 2998 or (start is not None and start.year < 1970):
            raise forms.ValidationError("Choose days between 1970 and 2998.")
        return end


def urls(wrap: Any) -> list[URLPattern]:
    """Return the pages' addresses, for the events' admin."""
    return [
        path("usage/<str:key>/", wrap(bars), name="metering_usageevent_usage"),
        path("usage/<str:key>/events/", wrap(behind_a_bar), name="metering_usageevent_behind"),
        path("usage/<str:key>/events.csv", wrap(as_csv), name="metering_usageevent_csv"),
    ]


def usage_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """Lead from a customer's page to its bars, for each metric that counted something of it."""
    if not request.user.has_perm(VIEW):
        return None
    links = [(metric.name, _bars_url(customer, metric)) for metric in used_metrics(customer)]
    return Panel("Usage, down to the event", "admin/metering/usage_panel.html", {"links": links})


def bars(request: HttpRequest, key: str) -> HttpResponse:
    """Show what a customer used of a metric, a bar for each hour, day or month."""
    customer = _customer(request, key)
    place = zone(customer.time_zone)
    now = timezone.now()
    form = BarsForm(_with_defaults(request, local_date(now, place)))
    context = {
        **_page(request, f"Usage of {customer.name}", customer),
        "form": form,
        "metrics": ValueMetric.objects.order_by("name"),
        "granularities": [each.value for each in Granularity],
        "trouble": "",
    }
    if form.is_valid():
        context |= _bars(customer, form.cleaned_data, place, now=now)
    return TemplateResponse(request, "admin/metering/usage.html", context)


def behind_a_bar(request: HttpRequest, key: str) -> HttpResponse:
    """Show the events of a bar's very span, with what each counts and how it was corrected."""
    customer = _customer(request, key)
    metric, start, end = _span(request)
    place = zone(customer.time_zone)
    after = request.GET.get("after", "")
    shown = page_behind(customer=customer, metric=metric, start=start, end=end, after=after)
    measured = measuring.usage(
        customer=customer, metric=metric, start=start, end=end,
        granularity=Granularity.MONTH, at=timezone.now(),
    ).all.total  # fmt: skip
    asked = {"metric": metric.key, "from": start.isoformat(), "to": end.isoformat()}
    context = {
        **_page(request, f"{metric.name} of {customer.name}", customer),
        "span": f"{_moment(start, place)} until before {_moment(end, place)}",
        "zone": customer.time_zone,
        "total": _quantity(measured, metric),
        "level": "" if measured.level is None else f"{_number(measured.level):,f}",
        "count": f"{measured.events:,}",
        "is_level": bool(metric.value_is),
        "filters": [_filter_words(each) for each in metric.filters],
        "rows": [_row(each, place) for each in shown.events],
        "is_later_page": bool(after),
        "next": f"?{urlencode({**asked, 'after': shown.following})}" if shown.following else "",
        "csv": f"{reverse('admin:metering_usageevent_csv', args=(customer.key,))}?{urlencode(asked)}",
        "back": _bars_url(customer, metric, day=local_date(start, place)),
    }
    return TemplateResponse(request, "admin/metering/usage_events.html", context)


def as_csv(request: HttpRequest, key: str) -> HttpResponseBase:
    """Stream every event of a span as CSV; texts can't be formulas, numbers stay numbers."""
    customer = _customer(request, key)
    metric, start, end = _span(request)
    name = f"{customer.key}-{metric.key}-{start:%Y%m%dT%H%M}-{end:%Y%m%dT%H%M}.csv"
    found = all_behind(customer=customer, metric=metric, start=start, end=end)
    return download(name, chain([COLUMNS], (_csv_row(each, customer) for each in found)))


def _csv_row(counted: Counted, customer: Customer) -> list[str]:
    event, adjustment, value = counted.event, counted.adjustment, counted.value
    number = None if isinstance(value, str) else properties.quantity(value)
    texts = [event.source, event.event_id, event.type, customer.key,
             event.subscription.key if event.subscription else ""]  # fmt: skip
    return [
        event.time.isoformat(),
        event.received_at.isoformat(),
        *map(cell, texts),
        "yes" if value is not None else "no",
        plain(number) if number is not None else cell(_text(value)),
        adjustment.kind if adjustment else "",
        cell(adjustment.reason) if adjustment else "",
        cell(properties.canonical(event.data)),
    ]


def _customer(request: HttpRequest, key: str) -> Customer:
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    return get_object_or_404(Customer, key=key)


def _span(request: HttpRequest) -> tuple[ValueMetric, datetime, datetime]:
    metric = get_object_or_404(ValueMetric, key=request.GET.get("metric", ""))
    try:
        start, end = (
            read_time(request.GET.get(name, "").replace(" ", "+")) for name in ("from", "to")
        )
    except (ValueError, OverflowError):
        raise Http404 from None
    if end <= start:
        raise Http404
    return metric, start, end


def _bars(
    customer: Customer, asked: dict[str, Any], place: ZoneInfo, *, now: datetime
) -> dict[str, Any]:
    metric, granularity = asked["metric"], Granularity(asked["by"])
    start = first_instant(asked["start"], place)
    end = first_instant(asked["end"] + timedelta(days=1), place)
    try:
        found = measuring.usage(
            customer=customer, metric=metric, start=start, end=end, granularity=granularity, at=now
        ).all
    except measuring.TooManyBuckets as refusal:
        return {"trouble": str(refusal)}
    highest = max((bucket.quantity for bucket in found.buckets), default=Fraction(0))
    return {
        "metric": metric,
        "rows": [
            {
                "name": f"{bucket.start.astimezone(place):{_NAMES[granularity]}}",
                "quantity": _quantity(bucket, metric),
                "events": f"{bucket.events:,}",
                "share": int(100 * max(bucket.quantity, Fraction(0)) / highest)
                if highest > 0
                else 0,
                "url": _behind_url(customer, metric, bucket),
                "finer": _finer_url(customer, metric, bucket, granularity, place),
            }
            for bucket in found.buckets
        ],
        "total": _quantity(found.total, metric),
        "total_events": f"{found.total.events:,}",
        "total_url": _behind_url(customer, metric, found.total),
        "zone": customer.time_zone,
    }


def _row(counted: Counted, place: ZoneInfo) -> dict[str, Any]:
    event, adjustment, value = counted.event, counted.adjustment, counted.value
    return {
        "url": reverse("admin:metering_usageevent_change", args=(event.pk,)),
        "time": f"{event.time.astimezone(place):%-d %b %Y, %H:%M:%S}",
        "id": event.event_id,
        "source": event.source,
        "subscription": event.subscription.key if event.subscription else "",
        "value": _text(value) if value is not None else "not counted",
        "counts": value is not None,
        "is_void": counted.is_void,
        "correction": f"{adjustment.get_kind_display()}: {adjustment.reason}" if adjustment else "",
        "data": properties.canonical(event.data),
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else properties.canonical(value)


def _quantity(bucket: measuring.Bucket, metric: ValueMetric) -> str:
    quantity = _number(bucket.quantity)
    return f"{quantity:,f} {metric.unit if quantity == 1 else metric.unit_plural}"


def _number(exact: Fraction) -> Decimal:
    """Return what is shown of a quantity, without zeros at its end."""
    return Decimal(plain(round_half_up(exact, PLACES)))


def _filter_words(condition: Any) -> str:
    values = ", ".join(str(value) for value in condition.get("values", ()))
    return f"{condition['property']} {condition['operator'].replace('_', ' ')} {values}".strip()


def _moment(instant: datetime, place: ZoneInfo) -> str:
    return f"{instant.astimezone(place):%-d %b %Y, %H:%M}"


def _bars_url(customer: Customer, metric: ValueMetric, day: date | None = None) -> str:
    query = {"metric": metric.key}
    if day is not None:
        query |= {"by": "day", "start": f"{day.replace(day=1)}",
                  "end": f"{month_after(day.replace(day=1), 1) - timedelta(days=1)}"}  # fmt: skip
    address = reverse("admin:metering_usageevent_usage", args=(customer.key,))
    return f"{address}?{urlencode(query)}"


def _behind_url(customer: Customer, metric: ValueMetric, bucket: measuring.Bucket) -> str:
    query = {
        "metric": metric.key,
        "from": bucket.start.astimezone(UTC).isoformat(),
        "to": bucket.end.astimezone(UTC).isoformat(),
    }
    address = reverse("admin:metering_usageevent_behind", args=(customer.key,))
    return f"{address}?{urlencode(query)}"


def _finer_url(
    customer: Customer,
    metric: ValueMetric,
    bucket: measuring.Bucket,
    granularity: Granularity,
    place: ZoneInfo,
) -> str:
    if granularity not in _FINER:
        return ""
    last = bucket.end - timedelta.resolution
    query = {
        "metric": metric.key,
        "by": _FINER[granularity].value,
        "start": f"{local_date(bucket.start, place)}",
        "end": f"{local_date(last, place)}",
    }
    return f"?{urlencode(query)}"


def _with_defaults(request: HttpRequest, today: date) -> dict[str, Any]:
    first = ValueMetric.objects.order_by("name").values_list("key", flat=True).first()
    usual = {"metric": first, "by": "day", "start": f"{today.replace(day=1)}", "end": f"{today}"}
    return {**usual, **{name: value for name, value in request.GET.items() if value}}


def _page(request: HttpRequest, title: str, customer: Customer) -> dict[str, Any]:
    own = admin.site.get_model_admin(UsageEvent)
    return {
        **own.page_context(request, title, None),  # type: ignore[attr-defined]
        "customer": customer,
        "customer_url": reverse("admin:customers_customer_change", args=(customer.pk,)),
    }
