"""What a process remembers from batch to batch: customers, subscriptions, metrics and rollups.

Remembering is safe because whatever could make it wrong leaves a new stamp in the database, which
every batch reads: a metric or rollup that was made, changed or deleted, a new subscription, a
customer or subscription that was deleted, and a month that was archived or restored. What is not
remembered is asked for, so a customer made a moment ago counts at once. A zone may be out of date:
pieces are right whatever zone's days they are of.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from django.db import connection

from catalog.models import MetricStatus, ValueMetric
from customers.models import Subscription
from metering import properties, wire
from metering.definitions import Definition, definition_from
from metering.models import ArchivedMonth, Rollup
from metering.statements import Rows, Statement

REMEMBERED_AT_MOST = 100_000  # keys of each kind; about 15 MB


class Holder(NamedTuple):
    """Whose events are: a customer's id and time zone, and whether it has several subscriptions."""

    customer_id: int
    time_zone: str
    has_several: bool


NOBODY = Holder(0, "", False)


class Verdict(NamedTuple):
    """Whose event it is, or why it can't be counted."""

    holder: Holder = NOBODY
    subscription_id: int | None = None
    code: str = ""
    detail: str = ""


class Memory:
    """The customers and subscriptions asked for so far; by type, all metrics that count and the
    rollups that sum them up; and the first days of archived months. `values` are the properties, by
    type, that its metrics need; None if that depends on the event.

    `several` are the customers with several subscriptions, and `usual` is the verdict on most events
    of each of the others.
    """

    def __init__(self, stamp: str | None) -> None:
        self.stamp = stamp
        self.several: set[str] = set()
        self.usual: dict[str, Verdict] = {}
        self.metrics: dict[str, list[ValueMetric]] = {}
        for metric in ValueMetric.objects.exclude(status=MetricStatus.RETIRED):
            self.metrics.setdefault(metric.event_type, []).append(metric)
        self.values = {type_: _needed(metrics) for type_, metrics in self.metrics.items()}
        self.archived = frozenset(ArchivedMonth.objects.values_list("month", flat=True))
        self.rollups: dict[str, list[tuple[int, Definition]]] = {}
        for pk, type_, text in Rollup.objects.order_by("pk").values_list(
            "pk", "event_type", "definition"
        ):
            self.rollups.setdefault(type_, []).append((pk, definition_from(text)))
        self._customers: dict[str, Holder] = {}
        self._subscriptions: dict[str, tuple[Holder, int]] = {}

    @property
    def is_full(self) -> bool:
        return max(len(self._customers), len(self._subscriptions)) > REMEMBERED_AT_MOST

    def unknown(self, keys: Collection[str]) -> list[str]:
        """Return those of some customers' keys that have to be asked for."""
        known = self._customers
        return [key for key in keys if key not in known]

    def learn(self, holders: dict[str, Holder]) -> None:
        """Remember customers by key."""
        self._customers.update(holders)
        self.several.update(key for key, holder in holders.items() if holder.has_several)
        self.usual.update(
            (key, Verdict(holder)) for key, holder in holders.items() if not holder.has_several
        )

    def customers(self, keys: Collection[str]) -> dict[str, Holder]:
        """Return customers by key, at least those asked for that exist."""
        if unknown := self.unknown(keys):
            self.learn(_holders(unknown))
        return self._customers

    def subscriptions(self, keys: Collection[str]) -> dict[str, tuple[Holder, int]]:
        """Return customer and id of subscriptions by key, at least those that exist."""
        known = self._subscriptions
        if missing := [key for key in keys if key not in known]:
            rows = Subscription.objects.filter(key__in=missing)
            found = list(rows.values_list("key", "customer__key", "pk"))
            customers = self.customers({customer for _, customer, _ in found})
            known.update({key: (customers[customer], pk) for key, customer, pk in found})
        return known


def _needed(metrics: Collection[ValueMetric]) -> frozenset[str] | None:
    """Return which properties these metrics need; None if that depends on the event."""
    if any(metric.filters for metric in metrics):
        return None
    return frozenset(metric.value_property for metric in metrics if metric.value_property)


_HOLDERS = (
    "SELECT c.key, c.id, c.time_zone, (SELECT COUNT(*) FROM customers_subscription s "
    "WHERE s.customer_id = c.id) > 1 FROM customers_customer c WHERE c.key "
)
ask_for_holders = Statement(f"{_HOLDERS} = ANY($1::text[])")


def read_holders(rows: Rows) -> dict[str, Holder]:
    """Return what the rows of `ask_for_holders` say, by key."""
    return {
        key.decode(): Holder(wire.read_bigint(pk), zone.decode(), several == b"\x01")
        for key, pk, zone, several in rows
    }


def _holders(keys: Collection[str]) -> dict[str, Holder]:
    """Ask for customers by key; past the ORM, which takes longer for it than a call for its event."""
    if connection.vendor == "postgresql":
        return read_holders(ask_for_holders.run(wire.words(list(keys))))
    with connection.cursor() as cursor:
        listed = properties.canonical(list(keys))
        cursor.execute(f"{_HOLDERS} IN (SELECT value FROM json_each(%s))", (listed,))
        return {
            key: Holder(pk, zone, bool(several)) for key, pk, zone, several in cursor.fetchall()
        }


_memory: Memory | None = None


def recall() -> Memory | None:
    """Return what the process remembers, if it does."""
    return _memory


def keep(memory: Memory) -> None:
    """Remember for later batches; never what a transaction saw that may yet be rolled back."""
    global _memory  # noqa: PLW0603
    _memory = None if memory.stamp is None or memory.is_full else memory


def current_stamp() -> str | None:
    """Ask which memory is good, in a transaction that is about to store events.

    On PostgreSQL it first takes the lock that its INSERT takes anyway, and its number. So whoever
    deletes a customer can wait for the events on their way, and whoever changed a metric can wait
    until all that may have read the former stamp have ended.
    """
    if connection.vendor == "postgresql":
        [[stamp, _]] = ask_for_stamp.run()
        return stamp.decode() if stamp else None
    with connection.cursor() as cursor:
        cursor.execute("SELECT stamp FROM metering_cataloguestamp")
        row = cursor.fetchone()
    return row[0] if row else None


ask_for_stamp = Statement("SELECT metering_current_stamp(), nextval('metering_usageevent_id_seq')")
