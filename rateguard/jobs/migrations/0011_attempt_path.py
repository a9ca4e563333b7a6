from django.db import migrations, models

from tenants.migrating import AddFieldOnce, AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("rateguard_jobs", "0010_routing")]

    operations = [
        AddFieldOnce("attempt", "path", models.TextField(blank=True, db_default="", default="")),
        AddFieldOnce("attempt", "run", models.UUIDField(null=True)),
        AddIndexBesideWriters("attempt", models.Index(fields=["run"], condition=models.Q(run__isnull=False), name="attempt_run")),
    ]
