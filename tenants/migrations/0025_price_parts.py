from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from tenants import prices
from tenants.migrating import AddFieldOnce


def name_as_accounts_do(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Rows under the price list's names for a provider are found by no account: they take the accounts' name, or go where one is there."""
    price = apps.get_model("rateguard_tenants", "Price")
    rows = price.objects.using(schema_editor.connection.alias)
    for listed, names in prices.PROVIDERS_OF.items():
        for row in rows.filter(provider=listed).exclude(provider__in=names):
            if rows.filter(provider=names[0], model=row.model, valid_from=row.valid_from).exists():
                row.delete()
            else:
                row.provider = names[0]
                row.save()
    rows.bulk_create([price(**row) for row in prices.rows_of_file()], ignore_conflicts=True)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("rateguard_tenants", "0024_provider_options")]

    operations = [
        AddFieldOnce("ledgerentry", "cache_write_long_tokens", models.BigIntegerField(db_default=0, default=0)),
        AddFieldOnce("ledgerentry", "audio_input_tokens", models.BigIntegerField(db_default=0, default=0)),
        AddFieldOnce("ledgerentry", "audio_output_tokens", models.BigIntegerField(db_default=0, default=0)),
        AddFieldOnce("ledgerentry", "reasoning_tokens", models.BigIntegerField(db_default=0, default=0)),
        AddFieldOnce("ledgerentry", "tier", models.CharField(blank=True, db_default="", default="", max_length=16)),
        AddFieldOnce("ledgerentry", "terms", models.CharField(blank=True, db_default="", default="", max_length=64)),
        AddFieldOnce("ledgerentry", "searches", models.PositiveIntegerField(db_default=0, default=0)),
        migrations.RunPython(name_as_accounts_do, migrations.RunPython.noop, atomic=True),
    ]
