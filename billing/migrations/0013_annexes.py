import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0012_payments'),
    ]

    operations = [
        migrations.CreateModel(
            name='InvoiceAnnex',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('change', models.JSONField(help_text='Last net to this net; null without a last one.', null=True)),
                ('usage', models.JSONField(help_text='Per metric: days, dimensions, what came in after the count.')),
                ('portal_url', models.URLField(blank=True, help_text='Where its buyer sees it line by line.', max_length=500)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('invoice', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='annex', to='billing.invoice')),
            ],
            options={
                'ordering': ('id',),
            },
        ),
    ]
