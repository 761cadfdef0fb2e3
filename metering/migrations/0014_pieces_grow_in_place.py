from django.db import migrations


def leave_half_of_a_page_free(apps, schema_editor):
    """Folding writes over every piece of a day at once: there, no index needs to be told."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE metering_usagepiece SET (fillfactor = 50)")


class Migration(migrations.Migration):

    dependencies = [
        ('metering', '0013_know_an_event_alone_again'),
    ]

    operations = [
        migrations.RunPython(leave_half_of_a_page_free, migrations.RunPython.noop),
    ]
