from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

NAMES = ("ConfigVersion", "GateEpoch")


def add_rows(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for name in NAMES:
        apps.get_model("rateguard_tenants", name).objects.using(schema_editor.connection.alias).get_or_create(id=1)


def remove_rows(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for name in NAMES:
        apps.get_model("rateguard_tenants", name).objects.using(schema_editor.connection.alias).all().delete()


class Migration(migrations.Migration):
    dependencies = [("rateguard_tenants", "0006_versions")]

    operations = [migrations.RunPython(add_rows, remove_rows)]
