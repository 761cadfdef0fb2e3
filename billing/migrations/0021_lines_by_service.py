"""Lines of a subscription are looked up by the start of their service, whatever else they are."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0020_bank_statements")]

    operations = [
        migrations.AddIndex(
            model_name="invoiceline",
            index=models.Index(fields=["subscription", "service_start"], name="line_by_service"),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="subscription",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="invoice_lines",
                to="customers.subscription",
            ),
        ),
    ]
