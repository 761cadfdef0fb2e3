from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('metering', '0010_take_a_new_event_at_once'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='eventadjustment',
            index=models.Index(fields=['made_at'], name='adjustment_by_made_at'),
        ),
    ]
