"""rateguard itself as an installed app: its commands and checks."""

from __future__ import annotations

from types import ModuleType

from django.apps import AppConfig


class RateguardConfig(AppConfig):
    """Refuses to start with settings that would lose money or secrets; registers the checks."""

    name = "rateguard"
    label = "rateguard"
    verbose_name = "rateguard"

    def __init__(self, app_name: str, app_module: ModuleType | None) -> None:
        """Look for foreign packages in our names before Django loads them. Raises ConfigurationError."""
        from rateguard import checks  # noqa: PLC0415 -- an app's module loads before the registry is ready

        super().__init__(app_name, app_module)
        checks.refuse_shadowed_packages()

    def ready(self) -> None:
        """Check the settings. Raises ConfigurationError, which names each key and its remedy."""
        from rateguard import checks, wiring  # noqa: PLC0415 -- as above
        from rateguard.python import delay  # noqa: F401, PLC0415 -- registers `complete` and `embed` as tasks of whichever app there is

        checks.register()
        checks.refuse_at_start()
        wiring.connect_configuration()
