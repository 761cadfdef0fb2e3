"""Reminders of reviews: one mail for each date on which a metric's worksheet is to be looked at again.

A message in the outbox, named by metric and date, is asked for once however often this runs. It
goes to whoever set the date, or else to all who may change metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from catalog.models import MetricStatus, ValueMetric
from catalog.worksheet import due_for_review
from config.base.models import ActorKind, AuditEntry, Outbox
from config.base.services import outbox

MAIL = "catalog.review_mail"
_PERMISSION = "catalog.change_valuemetric"
_BACKEND = "django.contrib.auth.backends.ModelBackend"
_MAIL = """\
{name} was to be looked at again on {day:%-d %B %Y}.

Is it still measured reliably, does it still grow with the value that customers get, and do they
still understand it? Answer the three questions, or choose another date:

{url}
"""


class ReviewMail(NamedTuple):
    """A reminder as it is sent."""

    to: Sequence[str]
    subject: str
    body: str


@transaction.atomic
def remind_of_reviews(*, at: datetime) -> list[ValueMetric]:
    """Ask for a mail for every metric that is due and was not reminded of for its date; return those."""
    due = {_key(metric): metric for metric in due_for_review(on=timezone.localdate(at))}
    known = set(Outbox.objects.filter(kind=MAIL, key__in=due).values_list("key", flat=True))
    new = {key: metric for key, metric in due.items() if key not in known}
    for key, metric in new.items():
        payload = {"metric": metric.pk, "review_on": _text(metric.review_on)}
        outbox.put(kind=MAIL, key=key, payload=payload, due_at=at)
    return list(new.values())


def write_review_mail(*, metric_id: int, review_on: str) -> ReviewMail | None:
    """Write the reminder; none where the date was changed since, or nobody can be reached."""
    metric = ValueMetric.objects.exclude(status=MetricStatus.RETIRED).filter(pk=metric_id).first()
    if metric is None or metric.review_on is None or _text(metric.review_on) != review_on:
        return None
    to = _readers(metric)
    if not to:
        return None
    address = reverse("admin:catalog_valuemetric_change", args=(metric.pk,))
    body = _MAIL.format(
        name=metric.name, day=metric.review_on, url=f"{settings.PUBLIC_URL}{address}"
    )
    return ReviewMail(to, f"Due for review: {metric.name}", body)


def _readers(metric: ValueMetric) -> list[str]:
    """Return the address of whoever set the date, or else of all who may change metrics."""
    staff = User.objects.filter(is_active=True, is_staff=True).exclude(email="")
    setter = _who_set(metric)
    if own := staff.filter(username=setter).first():
        return [own.email]
    able: Any = User.objects.with_perm(_PERMISSION, backend=_BACKEND)
    return list(staff.filter(pk__in=able).order_by("pk").values_list("email", flat=True))


def _who_set(metric: ValueMetric) -> str:
    """Return the name of the member of staff who set the review's date last; empty if it was none."""
    entries = AuditEntry.objects.filter(
        subject_type="catalog.valuemetric", subject_id=metric.pk, actor_kind=ActorKind.USER
    )
    for entry in entries.order_by("-pk"):
        before, after = entry.changes.get("review_on", (None, None))
        if before != after:
            return entry.actor_name if after == _text(metric.review_on) else ""
    return ""


def _key(metric: ValueMetric) -> str:
    return f"{metric.pk} {_text(metric.review_on)}"


def _text(day: date | None) -> str:
    return day.isoformat() if day else ""
