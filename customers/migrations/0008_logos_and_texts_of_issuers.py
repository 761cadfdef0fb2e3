import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('customers', '0007_tax_by_country_and_vat_id'),
    ]

    operations = [
        migrations.CreateModel(
            name='Logo',
            fields=[
                ('sha256', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('png', models.BinaryField()),
                ('width', models.PositiveSmallIntegerField()),
                ('height', models.PositiveSmallIntegerField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ('sha256',),
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='issuer',
            name='footer_text',
            field=models.CharField(blank=True, help_text='One more line at the foot of every page.', max_length=200),
        ),
        migrations.AddField(
            model_name='issuer',
            name='legal_text',
            field=models.TextField(blank=True, help_text='Printed below the charges, a paragraph per line: terms, retention of title.', max_length=2000),
        ),
        migrations.AddField(
            model_name='issuer',
            name='series',
            field=models.CharField(blank=True, default='', help_text='Stands in invoice numbers: EU gives INV-EU-2026-000001. A new one counts from 1.', max_length=6, validators=[django.core.validators.RegexValidator('\\A[A-Z0-9]*\\Z', 'Use capital letters and digits, such as EU.')], verbose_name='number series'),
        ),
        migrations.AddField(
            model_name='issuer',
            name='logo',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='issuers', to='customers.logo'),
        ),
    ]
