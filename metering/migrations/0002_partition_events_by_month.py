"""On PostgreSQL the events lie in partitions, one a month, and their ids come in blocks."""

from django.db import migrations

PARTITIONED = """
    ALTER TABLE metering_usageevent RENAME TO metering_usageevent_whole;
    CREATE TABLE metering_usageevent (
        LIKE metering_usageevent_whole, PRIMARY KEY (id, time)
    ) PARTITION BY RANGE (time);
    DROP TABLE metering_usageevent_whole;
    CREATE SEQUENCE metering_usageevent_id_seq INCREMENT 10000 OWNED BY metering_usageevent.id;
    ALTER TABLE metering_usageevent
        ALTER id SET DEFAULT nextval('metering_usageevent_id_seq');
    CREATE INDEX usage_event_of_customer ON metering_usageevent (customer_id, time);
    CREATE TABLE metering_usageevent_default PARTITION OF metering_usageevent DEFAULT;
"""


def partition(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(PARTITIONED)


class Migration(migrations.Migration):

    dependencies = [
        ('metering', '0001_events_keys_and_quarantine'),
    ]

    operations = [
        migrations.RunPython(partition, migrations.RunPython.noop),
    ]
