from django.db import migrations, models

from rateguard.jobs.indexing import AddIndexBesideWriters


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('rateguard_jobs', '0006_batches_webhooks_control'),
    ]

    operations = [
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
