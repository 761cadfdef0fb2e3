"""Metering's guards: what arrived stays as it arrived."""

from config.base.guards import Consequence, Event, Guard, append_only, immutable

_IN_QUARANTINE = (  # or out of it, but never counted
    "OLD.stored_as IS NULL AND EXISTS (SELECT 1 FROM metering_quarantinedevent q "
    "WHERE q.key = OLD.key AND q.status IN ('open', 'dismissed') AND q.code <> 'conflict')"
)

_ADJUSTED = immutable("uuid", "event_key", "kind", "data", "reason", "made_by", "made_at")

GUARDS = [
    *append_only("metering_usageevent", name="usage_event"),
    Guard(
        "event_adjustment_is_only_superseded",
        "metering_eventadjustment",
        "UPDATE",
        f"{_ADJUSTED} OR NOT OLD.is_effective",
    ),
    Guard("event_adjustment_is_never_deleted", "metering_eventadjustment", "DELETE", "TRUE"),
    Guard("event_key_never_changes", "metering_eventkey", "UPDATE", immutable("key")),
    Guard(
        "event_payload_changes_only_in_quarantine",
        "metering_eventkey",
        "UPDATE",
        f"({immutable('payload_hash')}) AND NOT ({_IN_QUARANTINE})",
    ),
    Guard(
        "event_key_is_stored_once",
        "metering_eventkey",
        "UPDATE",
        f"OLD.stored_as IS NOT NULL AND ({immutable('stored_as', 'time')})",
    ),
    Guard("event_key_is_never_deleted", "metering_eventkey", "DELETE", "TRUE"),
    Guard(
        "quarantined_event_is_kept_once_resolved",
        "metering_quarantinedevent",
        "UPDATE",
        "OLD.status <> 'open'",
    ),
    Guard("quarantined_event_is_never_deleted", "metering_quarantinedevent", "DELETE", "TRUE"),
    Guard(
        "customer_with_events_is_kept",
        "customers_customer",
        "DELETE",
        "EXISTS (SELECT 1 FROM metering_usageevent e WHERE e.customer_id = OLD.id)",
    ),
    Guard(
        "subscription_with_events_is_kept",
        "customers_subscription",
        "DELETE",
        "EXISTS (SELECT 1 FROM metering_usageevent e "
        "WHERE e.customer_id = OLD.customer_id AND e.subscription_id = OLD.id)",
    ),
]


def _stamped(name: str, table: str, event: Event, *, waits: bool = False) -> Consequence:
    """Renew the stamp of what ingestion remembers.

    Who deletes what events may be of first `waits` for the events on their way, so that the
    guards see them; those that come later wait for the deletion, and then see the new stamp.
    Nobody else waits: whoever rebuilds a rollup would hold its lock meanwhile, for which those
    wait who correct an event, and hold this one.
    """
    statement = (
        "INSERT INTO metering_cataloguestamp (id, stamp) VALUES (1, {random}) "
        "ON CONFLICT (id) DO UPDATE SET stamp = excluded.stamp"
    )
    wait = "LOCK TABLE metering_eventkey IN SHARE MODE; " if waits else ""
    return Consequence(
        name,
        table,
        event,
        postgresql=wait + statement.format(random="gen_random_uuid()::text"),
        sqlite=statement.format(random="lower(hex(randomblob(16)))"),
    )


STAMPS = [
    _stamped("catalogue_stamp_with_new_metric", "catalog_valuemetric", "INSERT"),
    _stamped("catalogue_stamp_with_changed_metric", "catalog_valuemetric", "UPDATE"),
    _stamped("catalogue_stamp_with_deleted_metric", "catalog_valuemetric", "DELETE"),
    _stamped("catalogue_stamp_with_new_rollup", "metering_rollup", "INSERT"),
    _stamped("catalogue_stamp_with_deleted_rollup", "metering_rollup", "DELETE"),
    _stamped("catalogue_stamp_with_new_subscription", "customers_subscription", "INSERT"),
    _stamped("catalogue_stamp_with_archived_month", "metering_archivedmonth", "INSERT"),
    _stamped("catalogue_stamp_with_restored_month", "metering_archivedmonth", "DELETE"),
    # These sort before the guards of their tables, and so fire before them.
    _stamped("catalogue_stamp_with_deleted_customer", "customers_customer", "DELETE", waits=True),
    _stamped(
        "catalogue_stamp_with_deleted_subscription", "customers_subscription", "DELETE", waits=True
    ),
]
