"""On PostgreSQL an event alone is taken in by one call of a function, so in one round trip.

It does, in this order, what ingestion does with a batch: lock and number first, then the stamp.
Each statement of the function sees what was committed before that statement.
"""

from django.db import migrations

FUNCTION = """
    CREATE FUNCTION metering_take_new_event(
        stamp_ text, key_ uuid, payload_hash_ bytea, source_ text, event_id_ text, type_ text,
        customer_ bigint, subscription_ bigint, time_ timestamptz, received_at_ timestamptz,
        data_ jsonb, extensions_ jsonb, starts_at_ timestamptz, ends_at_ timestamptz,
        rollups_ bigint[], keys_ jsonb[], totals_ numeric[], highests_ numeric[],
        areas_ numeric[], last_values_ numeric[]
    ) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        id_ bigint;
    BEGIN
        LOCK TABLE metering_eventkey IN ROW EXCLUSIVE MODE;
        PERFORM pg_current_xact_id();
        IF NOT EXISTS (SELECT FROM metering_cataloguestamp WHERE stamp = stamp_) THEN
            RETURN FALSE;
        END IF;
        INSERT INTO metering_eventkey (key, payload_hash, time, stored_as)
        VALUES (key_, payload_hash_, time_, nextval('metering_usageevent_id_seq'))
        ON CONFLICT DO NOTHING RETURNING stored_as INTO id_;
        IF id_ IS NULL THEN
            RETURN FALSE;
        END IF;
        INSERT INTO metering_usageevent (
            id, key, source, event_id, type, customer_id, subscription_id, time, received_at, data,
            extensions)
        VALUES (
            id_, key_, source_, event_id_, type_, customer_, subscription_, time_, received_at_,
            data_, extensions_);
        INSERT INTO metering_usagepiece (
            rollup_id, customer_id, subscription_id, key, starts_at, ends_at, events, total,
            highest, area, last_value, first_time, last_time, last_id, last_received_at, is_folded)
        SELECT rollup, customer_, subscription_, key, starts_at_, ends_at_, 1, total,
            highest, area, last_value, time_, time_, id_, received_at_, FALSE
        FROM unnest(rollups_, keys_, totals_, highests_, areas_, last_values_)
            AS piece (rollup, key, total, highest, area, last_value);
        RETURN TRUE;
    END $$;
"""


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(FUNCTION)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION metering_take_new_event")


class Migration(migrations.Migration):

    dependencies = [
        ('metering', '0009_rollups_know_from_when'),
    ]

    operations = [
        migrations.RunPython(create, drop),
    ]
