from django.db import migrations, models

from tenants.migrating import AddConstraintOnce, AddFieldOnce, AddIndexBesideWriters, RemoveConstraintOnce, WidenField


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('rateguard_jobs', '0006_batches_webhooks_control'),
    ]

    operations = [
        AddFieldOnce(
            model_name='attempt',
            name='is_retry',
            field=models.BooleanField(db_default=False, default=False),
        ),
        WidenField(
            model_name='jobevent',
            name='kind',
            field=models.CharField(max_length=24),
        ),
        RemoveConstraintOnce(
            model_name='outboxrow',
            name='outbox_kind',
        ),
        migrations.AlterField(
            model_name='outboxrow',
            name='kind',
            field=models.CharField(choices=[('canvas', 'Canvas'), ('webhook', 'Webhook'), ('signal', 'Signal')], max_length=16),
        ),
        AddConstraintOnce(
            model_name='outboxrow',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['canvas', 'webhook', 'signal'])), name='outbox_kind'),
        ),
        AddIndexBesideWriters(
            model_name='attempt',
            index=models.Index(condition=models.Q(('is_retry', True)), fields=['started_at'], name='attempt_retried'),
        ),
        AddIndexBesideWriters(
            model_name='job',
            index=models.Index(condition=models.Q(('batch__isnull', False)), fields=['batch', 'line'], name='job_batch_line'),
        ),
        AddIndexBesideWriters(
            model_name='job',
            index=models.Index(condition=models.Q(('batch__isnull', False)), fields=['batch', 'state'], name='job_batch_state'),
        ),
        AddIndexBesideWriters(
            model_name='job',
            index=models.Index(condition=models.Q(('fingerprint', ''), _negated=True), fields=['tenant', 'fingerprint', '-finished_at'], name='job_failures'),
        ),
        AddIndexBesideWriters(
            model_name='job',
            index=models.Index(condition=models.Q(('purged_at__isnull', True), ('state__in', ['cancelled', 'expired', 'failed', 'succeeded'])), fields=['tenant', 'finished_at'], name='job_bodies'),
        ),
    ]
