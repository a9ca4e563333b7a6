from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rateguard_jobs', '0004_newest_first'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('state', 'queued')), fields=['lane', 'queued_at', 'tenant'], name='job_lane_queued'),
        ),
    ]
