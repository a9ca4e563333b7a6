"""rateguard as a project of its own, not as a guest."""

from __future__ import annotations

from rateguard.apps import RateguardConfig


class ProjectConfig(RateguardConfig):
    """The app as rateguard's own settings name it: our Celery app is the current one, as `shared_task` needs it; a host has its own."""

    def ready(self) -> None:
        """As the parent. Raises ConfigurationError."""
        import rateguard.celery  # noqa: F401, PLC0415 -- it reads the settings

        super().ready()
