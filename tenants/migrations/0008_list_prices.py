from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from tenants import prices


def add_prices(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    price = apps.get_model("rateguard_tenants", "Price")
    rows = [price(**row) for row in prices.rows_of_file()]
    price.objects.using(schema_editor.connection.alias).bulk_create(rows, ignore_conflicts=True)


def remove_prices(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    price = apps.get_model("rateguard_tenants", "Price")
    price.objects.using(schema_editor.connection.alias).filter(valid_from=prices.FROM_THE_START).delete()


class Migration(migrations.Migration):
    dependencies = [("rateguard_tenants", "0007_version_rows")]

    operations = [migrations.RunPython(add_prices, remove_prices)]
