"""The app of tenants: who pays, what they may use, and what it cost."""

from __future__ import annotations

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Tenants, keys, scopes, limits, budgets, provider accounts, deployments, model routes, prices, the ledger, rollups."""

    name = "tenants"
    label = "rateguard_tenants"
    verbose_name = "Tenants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Follow changes of the configuration."""
        from tenants import signals  # noqa: PLC0415 -- receivers need the models, which are ready only now

        signals.connect()
