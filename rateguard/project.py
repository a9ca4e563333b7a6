"""rateguard as a project of its own, not as a guest."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.admin import apps as apps_of_admin
from django.db.models.signals import post_migrate

from rateguard.apps import RateguardConfig


class AdminConfig(apps_of_admin.AdminConfig):
    """Django's admin with our site: who enters is asked of `tenants.access`."""

    default_site = "rateguard.admin_site.RateguardSite"


class ProjectConfig(RateguardConfig):
    """The app as rateguard's own settings name it: our Celery app is the current one, as `shared_task` needs it; a host has its own."""

    def ready(self) -> None:
        """As the parent. Raises ConfigurationError."""
        import rateguard.celery  # noqa: F401, PLC0415 -- it reads the settings

        super().ready()
        jobs = apps.get_app_config("rateguard_jobs")  # once a run, though it comes for each app that has models
        post_migrate.connect(_give_out_rights, sender=jobs, dispatch_uid="rateguard.database_roles")


def _give_out_rights(*, using: str, **_: Any) -> None:
    """After `migrate`: the roles of web and worker may use the tables that there are now. Raises ConfigurationError."""
    from rateguard.database_roles import give_out  # noqa: PLC0415 -- it needs the connections

    give_out(settings.DATABASE_ROLES, using)
