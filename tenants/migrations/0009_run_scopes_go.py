from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def remove_scopes(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """A run carries its own limits. Scopes of that kind could be stored but never acted."""
    apps.get_model("rateguard_tenants", "Scope").objects.using(schema_editor.connection.alias).filter(kind="run").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("rateguard_tenants", "0008_list_prices"),
    ]

    operations = [
        migrations.RunPython(remove_scopes, migrations.RunPython.noop),
    ]
