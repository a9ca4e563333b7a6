from django.db import migrations, models

from tenants.migrating import AddIndexBesideWriters


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('rateguard_jobs', '0004_newest_first'),
    ]

    operations = [
        AddIndexBesideWriters(
            model_name='job',
            index=models.Index(condition=models.Q(('state', 'queued')), fields=['lane', 'queued_at', 'tenant'], name='job_lane_queued'),
        ),
    ]
