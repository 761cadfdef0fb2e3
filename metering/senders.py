"""Who sends events, and who has fallen silent."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from django.db.models.functions import TruncDate

from metering.models import UsageEvent

DAYS = 7
"""So many days in a row a source must have sent events on to be missed when it does not."""
_DAY = timedelta(days=1)


class Silent(NamedTuple):
    """A source of events, and the last day, in UTC, that it sent any of."""

    source: str
    last_heard: date


def silent_sources(*, until: datetime) -> list[Silent]:
    """Return the sources with events of each of seven days and none of the last whole day in UTC.

    That day is the last that is over by `until`; days are those of the events' time. One query over
    the events of eight days, so leave it to a worker.
    """
    missed = until.astimezone(UTC).date() - _DAY
    days = [missed - n * _DAY for n in range(DAYS, -1, -1)]
    within = UsageEvent.objects.filter(
        time__gte=datetime.combine(days[0], time(), UTC),
        time__lt=datetime.combine(missed + _DAY, time(), UTC),
    )
    heard: dict[str, set[date]] = defaultdict(set)
    sent = within.annotate(day=TruncDate("time", tzinfo=UTC)).order_by()
    for source, day in sent.values_list("source", "day").distinct():
        heard[source].add(day)
    return [Silent(source, max(on)) for source, on in sorted(heard.items()) if on == set(days[:-1])]
