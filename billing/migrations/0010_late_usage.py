import config.base.fields
import django.db.models.deletion
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0009_sold_add_ons'),
        ('catalog', '0009_add_ons'),
        ('customers', '0004_coupons_of_subscriptions'),
    ]

    operations = [
        migrations.CreateModel(
            name='LateUsage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uuid', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('currency', models.CharField(max_length=3)),
                ('billed_quantity', config.base.fields.ExactDecimalField(decimal_places=10, max_digits=30)),
                ('quantity', config.base.fields.ExactDecimalField(decimal_places=10, max_digits=30)),
                ('amount', config.base.fields.ExactDecimalField(decimal_places=4, help_text='Before tax; negative: to be credited.', max_digits=19)),
                ('status', models.CharField(choices=[('held', 'Held for a decision'), ('approved', 'To be billed'), ('waiting', 'Credit for a later invoice'), ('billed', 'Billed'), ('written_off', 'Written off')], max_length=12)),
                ('held_for', models.CharField(blank=True, choices=[('age', 'Long after the close'), ('small', 'Below the threshold')], default='', max_length=10)),
                ('found_at', models.DateTimeField()),
                ('decided_by', models.CharField(blank=True, default='', max_length=255)),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('reason', models.TextField(blank=True, help_text='Why it was written off.')),
            ],
            options={
                'verbose_name_plural': 'late usage',
                'ordering': ('-id',),
                'permissions': (('bill_lateusage', 'Can have held late usage billed'), ('write_off_lateusage', 'Can write late usage off')),
                'default_permissions': ('view',),
            },
        ),
        migrations.RemoveConstraint(
            model_name='invoiceline',
            name='line_of_usage_has_its_snapshot',
        ),
        migrations.RemoveConstraint(
            model_name='invoiceline',
            name='line_kind_is_known',
        ),
        migrations.RemoveConstraint(
            model_name='periodcharge',
            name='charge_purpose_is_known',
        ),
        migrations.AlterField(
            model_name='invoiceline',
            name='kind',
            field=models.CharField(choices=[('fee', 'Fee'), ('usage', 'Usage'), ('minimum', 'Minimum charge'), ('commitment', 'Minimum commitment'), ('credit', 'Credit of an unused fee'), ('add_on', 'Add-on'), ('late', 'Late usage')], max_length=10),
        ),
        migrations.AlterField(
            model_name='periodcharge',
            name='purpose',
            field=models.CharField(choices=[('opening', 'First fee in advance'), ('regular', 'Period'), ('final', 'Last period'), ('one_off', 'One-off'), ('late', 'Late usage')], max_length=10),
        ),
        migrations.AddConstraint(
            model_name='invoiceline',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['fee', 'usage', 'minimum', 'commitment', 'credit', 'add_on', 'late'])), name='line_kind_is_known'),
        ),
        migrations.AddConstraint(
            model_name='invoiceline',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind__in', ['usage', 'late']), ('snapshot__isnull', False)), models.Q(models.Q(('kind__in', ['usage', 'late']), _negated=True), models.Q(('snapshot__isnull', False), _negated=True)), _connector='OR'), name='line_of_usage_has_its_snapshot'),
        ),
        migrations.AddConstraint(
            model_name='periodcharge',
            constraint=models.CheckConstraint(condition=models.Q(('purpose__in', ['opening', 'regular', 'final', 'one_off', 'late'])), name='charge_purpose_is_known'),
        ),
        migrations.AddConstraint(
            model_name='periodcharge',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('purpose', 'late'), _negated=True), models.Q(('cause', ''), _negated=True), _connector='OR'), name='charge_of_late_usage_names_its_snapshot'),
        ),
        migrations.AddField(
            model_name='lateusage',
            name='invoice',
            field=models.ForeignKey(help_text='What billed it.', on_delete=django.db.models.deletion.PROTECT, related_name='late_usage', to='billing.invoice'),
        ),
        migrations.AddField(
            model_name='lateusage',
            name='period',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='late_usage', to='billing.billingperiod'),
        ),
        migrations.AddField(
            model_name='lateusage',
            name='price',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.price'),
        ),
        migrations.AddField(
            model_name='lateusage',
            name='snapshot',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.usagesnapshot'),
        ),
        migrations.AddIndex(
            model_name='lateusage',
            index=models.Index(fields=['status', '-id'], name='late_usage_by_status'),
        ),
        migrations.AddConstraint(
            model_name='lateusage',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['held', 'approved', 'waiting', 'billed', 'written_off'])), name='late_usage_status_is_known'),
        ),
        migrations.AddConstraint(
            model_name='lateusage',
            constraint=models.CheckConstraint(condition=models.Q(('held_for__in', ['age', 'small', ''])), name='late_usage_cause_is_known'),
        ),
        migrations.AddConstraint(
            model_name='lateusage',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('held', 'approved', 'waiting'))), fields=('period', 'price'), name='late_usage_waits_once_per_period_and_price'),
        ),
        migrations.AddConstraint(
            model_name='lateusage',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'held'), _negated=True), models.Q(('held_for', ''), _negated=True), _connector='OR'), name='late_usage_held_with_its_cause'),
        ),
        migrations.AddConstraint(
            model_name='lateusage',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'waiting'), _negated=True), ('amount__lt', 0), _connector='OR'), name='late_usage_waits_only_to_be_credited'),
        ),
        migrations.AddConstraint(
            model_name='lateusage',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'written_off'), models.Q(('reason', ''), _negated=True)), models.Q(models.Q(('status', 'written_off'), _negated=True), ('reason', '')), _connector='OR'), name='late_usage_written_off_exactly_with_a_reason'),
        ),
        migrations.AddConstraint(
            model_name='lateusage',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decided_at__isnull', False), models.Q(('decided_by', ''), _negated=True)), models.Q(models.Q(('decided_at__isnull', False), _negated=True), ('decided_by', '')), _connector='OR'), name='late_usage_decided_by_somebody'),
        ),
    ]
