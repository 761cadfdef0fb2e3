from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("metering", "0004_catalogue_stamp")]

    operations = [
        migrations.AddField(
            model_name="quarantinedevent",
            name="type",
            field=models.CharField(default="", max_length=255),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="quarantinedevent",
            name="subject",
            field=models.CharField(
                blank=True, default="", help_text="Empty if it names nobody.", max_length=255
            ),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="quarantinedevent",
            index=models.Index(
                condition=Q(status="open"),
                fields=["code", "subject", "type"],
                name="quarantine_open_by_subject",
            ),
        ),
    ]
