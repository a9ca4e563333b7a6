"""The shop as an installed app."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Knows nothing of rateguard but `complete`."""

    name = "rateguard.demo.shop"
    label = "rateguard_demo_shop"
    verbose_name = "the demo's shop"
    default_auto_field = "django.db.models.BigAutoField"
