"""The app of jobs: what lasts."""

from __future__ import annotations

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Jobs, their attempts and events."""

    name = "rateguard.jobs"
    label = "rateguard_jobs"
    verbose_name = "Jobs"
    default_auto_field = "django.db.models.BigAutoField"
