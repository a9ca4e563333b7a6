from django.db import migrations, models

from tenants.migrating import AddFieldOnce


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("rateguard_jobs", "0009_usage_parts")]

    operations = [
        AddFieldOnce("job", "route_marks", models.CharField(blank=True, db_default="", default="", max_length=128)),
        AddFieldOnce("job", "fallbacks", models.PositiveSmallIntegerField(db_default=0, default=0)),
        AddFieldOnce("job", "fallen_back_from", models.CharField(blank=True, db_default="", default="", max_length=128)),
    ]
