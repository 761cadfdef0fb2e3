"""Whoever sends an event alone that came before is told in the same round trip what is known of it.

As before, each statement of the function sees what was committed before that statement: so the
last one sees the key of whoever was faster.
"""

from importlib import import_module

from django.db import migrations

FORMER = import_module("metering.migrations.0010_take_a_new_event_at_once").FUNCTION
FUNCTION = """
    CREATE FUNCTION metering_take_new_event(
        stamp_ text, key_ uuid, payload_hash_ bytea, source_ text, event_id_ text, type_ text,
        customer_ bigint, subscription_ bigint, time_ timestamptz, received_at_ timestamptz,
        data_ jsonb, extensions_ jsonb, starts_at_ timestamptz, ends_at_ timestamptz,
        rollups_ bigint[], keys_ jsonb[], totals_ numeric[], highests_ numeric[],
        areas_ numeric[], last_values_ numeric[],
        OUT taken boolean, OUT known_hash bytea, OUT known_time timestamptz
    ) LANGUAGE plpgsql AS $$
    DECLARE
        id_ bigint;
    BEGIN
        taken := FALSE;
        LOCK TABLE metering_eventkey IN ROW EXCLUSIVE MODE;
        PERFORM pg_current_xact_id();
        IF NOT EXISTS (SELECT FROM metering_cataloguestamp WHERE stamp = stamp_) THEN
            RETURN;
        END IF;
        INSERT INTO metering_eventkey (key, payload_hash, time, stored_as)
        VALUES (key_, payload_hash_, time_, nextval('metering_usageevent_id_seq'))
        ON CONFLICT DO NOTHING RETURNING stored_as INTO id_;
        IF id_ IS NULL THEN
            SELECT payload_hash, time INTO known_hash, known_time
            FROM metering_eventkey WHERE key = key_;
            RETURN;
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
        taken := TRUE;
    END $$;
"""


def replace(schema_editor, function):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION metering_take_new_event")
        schema_editor.execute(function)


class Migration(migrations.Migration):

    dependencies = [
        ('metering', '0012_ask_for_stamp_and_keys'),
    ]

    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: replace(schema_editor, FUNCTION),
            lambda apps, schema_editor: replace(schema_editor, FORMER),
        ),
    ]
