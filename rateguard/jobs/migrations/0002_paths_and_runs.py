"""Jobs charge a whole path, of any length, and may lie in a run; the comparison of reservations with rows counts what it mended."""

from django.db import migrations, models
from django.db.models import Q, Value
from django.db.models.functions import Cast, Concat


def write_paths(apps, schema_editor):
    """A path begins with the tenant itself."""
    apps.get_model("rateguard_jobs", "Job").objects.update(path=Cast("tenant_id", models.TextField()))


def write_old_paths(apps, schema_editor):
    apps.get_model("rateguard_jobs", "Job").objects.update(path=Concat(Value("t"), Cast("tenant_id", models.TextField())))


class Migration(migrations.Migration):
    dependencies = [("rateguard_jobs", "0001_jobs")]

    operations = [
        migrations.AlterField("job", "path", models.TextField()),
        migrations.RunPython(write_paths, write_old_paths),
        migrations.AddField("job", "run", models.UUIDField(null=True)),
        migrations.AddField("job", "downgraded_from", models.CharField(blank=True, default="", max_length=128)),
        migrations.AddIndex("job", models.Index(condition=Q(run__isnull=False), fields=["run", "state"], name="job_run")),
        migrations.AddField("lease", "repaired", models.BigIntegerField(default=0)),
    ]
