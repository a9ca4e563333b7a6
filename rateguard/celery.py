"""The Celery app of the project: `celery -A rateguard worker`."""

from __future__ import annotations

import os

from celery import Celery, signals

from rateguard.embedding import celery_settings
from rateguard.telemetry.logs import configure_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rateguard.settings")

app = Celery("rateguard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(celery_settings(one_worker=True))
app.autodiscover_tasks()


@signals.setup_logging.connect(weak=False, dispatch_uid="rateguard.logs")
def keep_our_logs(**_: object) -> None:
    """Write a worker's log like every other: with a receiver of this signal, Celery sets up none of its own."""
    from django.conf import settings  # noqa: PLC0415 -- the settings are ready once a worker sets up its log

    configure_logging(settings.LOGGING)
