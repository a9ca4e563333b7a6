"""The bare Celery app with which `bench jobs` compares: one task that does nothing."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("noop", broker=os.environ.get("REDIS_URL", "").removesuffix("/0") + "/1")
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=False,
    task_default_queue="noop",
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="rateguard.bench.noop")
def noop() -> None:
    """Do nothing."""
