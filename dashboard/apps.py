"""The app of the dashboard."""

from __future__ import annotations

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """Pages, and the links by which people sign in once."""

    name = "dashboard"
    label = "rateguard_dashboard"
    verbose_name = "Dashboard"
    default_auto_field = "django.db.models.BigAutoField"
