from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def keep_what_older_tables_hold(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """On the way back: buckets become windows, budgets of money in total reject; what has no older form goes."""
    rows = {name: apps.get_model("rateguard_tenants", name).objects.using(schema_editor.connection.alias) for name in ("Scope", "Limit", "Budget")}
    for limit in rows["Limit"].filter(kind="bucket"):
        place = {name: getattr(limit, name) for name in ("scope_id", "account_id", "deployment_id", "metric", "window_ms")}
        if rows["Limit"].filter(kind="window", **place).exists():
            rows["Limit"].filter(pk=limit.pk).delete()
        else:
            rows["Limit"].filter(pk=limit.pk).update(kind="window")
    rows["Budget"].exclude(unit="usd", period="total").delete()
    rows["Budget"].update(on_exhausted="reject", downgrade_to=None)
    gone = rows["Scope"].filter(kind="tenant", tenant=None)
    for name in ("Limit", "Budget"):
        rows[name].filter(scope_id__in=list(gone.values_list("pk", flat=True))).delete()
    gone._raw_delete(schema_editor.connection.alias)  # the models of a state on the way back do not all know each other


class Migration(migrations.Migration):
    dependencies = [
        ("rateguard_tenants", "0017_ledger_knows_roles_and_runs"),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, keep_what_older_tables_hold),
    ]
