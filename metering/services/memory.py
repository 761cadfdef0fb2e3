"""What a process remembers from batch to batch: customers, subscriptions by key, and metrics.

Remembering is safe because whatever could make it wrong leaves a new stamp in the database, which
every batch reads: a metric that was made, changed or retired, a customer or subscription that was
deleted, and a month that was archived or restored. What is not remembered is asked for, so a customer made a moment ago counts at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.db import connection

from catalog.models import MetricStatus, ValueMetric
from customers.models import Customer, Subscription
from metering import properties
from metering.models import ArchivedMonth

REMEMBERED_AT_MOST = 100_000  # keys of each kind; about 15 MB


class Stand(NamedTuple):
    """How the database stands: the stamp, and who of some customers has several subscriptions."""

    stamp: str | None
    several: frozenset[int]


class Memory:
    """The customers and subscriptions asked for so far, all metrics that count, by type, and the
    first days of archived months."""

    def __init__(self, stamp: str | None) -> None:
        self.stamp = stamp
        self.metrics: dict[str, list[ValueMetric]] = {}
        for metric in ValueMetric.objects.exclude(status=MetricStatus.RETIRED):
            self.metrics.setdefault(metric.event_type, []).append(metric)
        self.archived = frozenset(ArchivedMonth.objects.values_list("month", flat=True))
        self._customers: dict[str, int] = {}
        self._subscriptions: dict[str, tuple[int, int]] = {}

    def customers(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the ids of customers by key, at least those asked for that exist."""
        known, wanted = self._customers, list(keys)
        if missing := [key for key in wanted if key not in known]:
            if len(known) > REMEMBERED_AT_MOST:
                known, missing = {}, wanted
            known.update(Customer.objects.filter(key__in=missing).values_list("key", "pk"))
            self._customers = known
        return known

    def subscriptions(self, keys: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return customer and id of subscriptions by key, at least those that exist."""
        known, wanted = self._subscriptions, list(keys)
        if missing := [key for key in wanted if key not in known]:
            if len(known) > REMEMBERED_AT_MOST:
                known, missing = {}, wanted
            rows = Subscription.objects.filter(key__in=missing)
            for key, customer_id, pk in rows.values_list("key", "customer_id", "pk"):
                known[key] = (customer_id, pk)
            self._subscriptions = known
        return known


_memory: Memory | None = None


def recall() -> Memory | None:
    """Return what the process remembers, if it does."""
    return _memory


def keep(memory: Memory) -> None:
    """Remember for later batches; never what a transaction saw that may yet be rolled back."""
    global _memory  # noqa: PLW0603
    _memory = memory if memory.stamp is not None else None


def look(customers: Iterable[int]) -> Stand:
    """Ask how the database stands, in a transaction that is about to store events.

    On PostgreSQL it first takes the lock that its INSERT takes anyway, and its number. So whoever
    deletes a customer can wait for the events on their way, and whoever changed a metric can wait
    until all that may have read the former stamp have ended.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            ids = f"{{{','.join(map(str, customers))}}}"
            cursor.execute(
                "LOCK TABLE metering_eventkey IN ROW EXCLUSIVE MODE; "
                "SELECT pg_current_xact_id(); "
                "SELECT (SELECT stamp FROM metering_cataloguestamp), ARRAY("
                "SELECT customer_id FROM customers_subscription "
                "WHERE customer_id = ANY(%s::bigint[]) "
                "GROUP BY customer_id HAVING COUNT(*) > 1)",
                (ids,),
            )
            while cursor.nextset():
                pass
            stamp, several = cursor.fetchone()
        else:
            cursor.execute(
                "SELECT (SELECT stamp FROM metering_cataloguestamp), (SELECT json_group_array(id) "
                "FROM (SELECT customer_id AS id FROM customers_subscription "
                "WHERE customer_id IN (SELECT value FROM json_each(%s)) "
                "GROUP BY customer_id HAVING COUNT(*) > 1))",
                (properties.canonical(list(customers)),),
            )
            stamp, several = cursor.fetchone()
            several = properties.read(several)
    return Stand(stamp, frozenset(several))
