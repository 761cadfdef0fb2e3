"""What the admin's first page, sidebar and search know of usage: what arrived, and what waits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlencode

from django.db.models import Count, Max, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from catalog.models import ValueMetric
from config.base.admin.audited import Panel
from config.base.admin.find import Finder, Hit, as_uuid, first
from config.base.dashboard import Figure, Need, Viewer, said, waiting
from customers.models import Customer
from metering.models import QuarantineCode, QuarantinedEvent, QuarantineStatus, UsageEvent
from metering.services.rollups import rollup_of

LATEST = 10_000
SUBJECTS = 20
_WHY = {
    QuarantineCode.UNKNOWN_CUSTOMER: ("names a customer", "name a customer", "nobody knows"),
    QuarantineCode.UNKNOWN_TYPE: ("is of a type", "are of a type", "no metric counts"),
    QuarantineCode.MISSING_VALUE: ("lacks", "lack", "the value that is charged for"),
    QuarantineCode.BAD_VALUE: ("has", "have", "a value that is no quantity"),
    QuarantineCode.AMBIGUOUS_SUBSCRIPTION: ("could", "could", "be billed by several subscriptions"),
    QuarantineCode.UNKNOWN_SUBSCRIPTION: (
        "names a subscription",
        "name a subscription",
        "nobody knows",
    ),
    QuarantineCode.FUTURE_TIME: ("is", "are", "dated in the future"),
    QuarantineCode.ARCHIVED_MONTH: ("is", "are", "dated in a month that is archived"),
    QuarantineCode.CONFLICT: ("came", "came", "again with other content"),
}


def quarantine_needs(user: Viewer, at: datetime) -> Iterator[Need]:
    """Say for each reason how many events wait, and lead to them."""
    if not user.has_perm("metering.view_quarantinedevent"):
        return
    listed = reverse("admin:metering_quarantinedevent_changelist")
    is_open = QuarantinedEvent.objects.filter(status=QuarantineStatus.OPEN)
    by_code = is_open.order_by("code").values_list("code").annotate(count=Count("pk"))
    for code, count in by_code:
        one, many, what = _WHY[QuarantineCode(code)]
        yield Need(
            30,
            f"{said(count, f'event {one}', f'events {many}')} {what}.",
            f"{listed}?status__exact=open&code__exact={code}",
        )


def rollup_panel(request: HttpRequest, metric: ValueMetric) -> Panel | None:
    """Say whether a metric's usage is summed up, and if not yet, how far that has come."""
    if not request.user.has_perm("metering.view_usageevent"):
        return None
    rollup = rollup_of(metric)
    done = total = 0
    if rollup is None:
        standing = "Usage is read from its events. It will be summed up within minutes."
    elif rollup.ready_at:
        standing = f"Usage is summed up per day as it arrives, since {rollup.ready_at:%-d %b %Y, %H:%M} UTC."
    else:
        done, total = rollup.customers_done, rollup.customers_total
        standing = (
            "Usage is being summed up from its events, and read from them until that is done: "
            f"{done:,} of {total:,} customers so far."
        )
    if rollup is not None and rollup.knows_from:
        standing += (
            f" It is known from {rollup.knows_from:%-d %b %Y}, 00:00 UTC, on: events of this type from "
            "before were archived already. To know them, too, restore their months."
        )
    context = {"standing": standing, "done": done, "total": total}
    return Panel("How fast it is measured", "admin/metering/rollup_panel.html", context)


def quarantine_waiting() -> int:
    return waiting(QuarantinedEvent.objects.filter(status=QuarantineStatus.OPEN))


def quarantine_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """List the events that name this customer and wait in quarantine; nothing where none does."""
    if not request.user.has_perm("metering.view_quarantinedevent"):
        return None
    mine = QuarantinedEvent.objects.waiting().of_customers(Customer.objects.filter(pk=customer.pk))
    groups = mine.order_by("code", "subject").values_list("code", "subject")
    listed = reverse("admin:metering_quarantinedevent_changelist")
    rows = [
        {
            "reason": QuarantineCode(code).label,
            "subject": subject,
            "count": f"{count:,}",
            "url": f"{listed}?"
            + urlencode({"status__exact": "open", "code__exact": code, "subject__exact": subject}),
        }
        for code, subject, count in groups.annotate(count=Count("pk"))[:SUBJECTS]
    ]
    if not rows:
        return None
    return Panel("Events that don’t count yet", "admin/metering/waiting_panel.html", {"rows": rows})


def usage_figures(user: Viewer, at: datetime) -> Iterator[Figure]:
    """Count today's events among the latest 10,000, so that nobody waits for millions."""
    if not user.has_perm("metering.view_usageevent"):
        return
    day = timezone.localtime(at).replace(hour=0, minute=0, second=0, microsecond=0)
    latest = UsageEvent.objects.order_by("-id")[:LATEST]
    found = latest.aggregate(
        today=Count("pk", filter=Q(received_at__gte=day)), last=Max("received_at")
    )
    today, last = found["today"], found["last"]
    yield Figure(
        50,
        "Events received today",
        f"{today:,}+" if today == LATEST else f"{today:,}",
        reverse("admin:metering_usageevent_changelist"),
        f"the last one {timezone.localtime(last):%-d %b, %H:%M} UTC" if last else "",
    )


def find_events(query: str) -> list[Hit]:
    """Find an event by its UUID, which has an index."""
    key = as_uuid(query)
    if key is None:
        return []
    counted = UsageEvent.objects.filter(key=key).select_related("customer")
    return [
        Hit(
            str(event),
            f"{event.type} · {event.customer.name}",
            reverse("admin:metering_usageevent_change", args=(event.pk,)),
            is_exact=True,
        )
        for event in first(counted)
    ]


def find_quarantined(query: str) -> list[Hit]:
    """Find an event in quarantine by its UUID, or by the UUID of its key."""
    key = as_uuid(query)
    if key is None:
        return []
    return [
        Hit(
            str(row),
            f"{row.get_code_display()} · {row.get_status_display().lower()}",
            reverse("admin:metering_quarantinedevent_change", args=(row.pk,)),
            is_exact=row.status == QuarantineStatus.OPEN,
        )
        for row in first(QuarantinedEvent.objects.filter(Q(key=key) | Q(uuid=key)))
    ]


FINDERS = [
    Finder("Events", "metering.view_usageevent", find_events),
    Finder("Quarantine", "metering.view_quarantinedevent", find_quarantined),
]
