from django.db import migrations, models

from tenants.migrating import AddFieldOnce


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("rateguard_jobs", "0010_routing")]

    operations = [
        AddFieldOnce("attempt", "path", models.TextField(blank=True, db_default="", default="")),
        AddFieldOnce("attempt", "run", models.UUIDField(null=True)),
    ]
