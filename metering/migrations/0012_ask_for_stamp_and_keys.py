"""On PostgreSQL a batch asks for the stamp, with what must come before, and for keys by a call each.

Lock and number first, then the stamp: each statement of the function sees what was committed
before that statement. Keys are always looked up by their index: a statement that is prepared while
there are few would go on to read the whole table when there are millions.
"""

from django.db import migrations

FUNCTIONS = """
    CREATE FUNCTION metering_current_stamp() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        LOCK TABLE metering_eventkey IN ROW EXCLUSIVE MODE;
        PERFORM pg_current_xact_id();
        RETURN (SELECT stamp FROM metering_cataloguestamp);
    END $$;
    CREATE FUNCTION metering_known_keys(keys uuid[])
    RETURNS TABLE (key uuid, payload_hash bytea, "time" timestamptz)
    LANGUAGE plpgsql SET enable_seqscan = off AS $$
    BEGIN
        RETURN QUERY SELECT k.key, k.payload_hash, k.time
            FROM metering_eventkey k WHERE k.key = ANY(keys);
    END $$;
"""


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(FUNCTIONS)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION metering_current_stamp, metering_known_keys")


class Migration(migrations.Migration):

    dependencies = [
        ('metering', '0011_adjustments_by_time'),
    ]

    operations = [
        migrations.RunPython(create, drop),
    ]
