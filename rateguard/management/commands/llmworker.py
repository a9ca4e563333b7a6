"""`manage.py llmworker`: a Celery worker for the jobs alone, on the asyncio pool and the lanes' queues."""

from __future__ import annotations

from celery import current_app
from django.core.management.base import BaseCommand

from rateguard.embedding import ASYNCIO_POOL, LANE_QUEUES, OWN_TASKS


class Command(BaseCommand):
    """Celery's own `worker` with the pool and the queues filled in. Every argument goes to it, and what it says there stands."""

    help = "Runs the jobs: `celery worker` on the asyncio pool and the lanes' queues. Takes its options: -l INFO, -Q llm.low, -n NAME."

    def run_from_argv(self, argv: list[str]) -> None:
        """Become the worker of the project's Celery app; ends with its exit code."""
        given = argv[2:]
        queues = [] if any(one == "-Q" or one.startswith("--queues") for one in given) else ["-Q", ",".join(LANE_QUEUES)]
        current_app.conf.update(worker_pool=ASYNCIO_POOL, worker_concurrency=OWN_TASKS)
        current_app.worker_main(["worker", *queues, "--without-gossip", "--without-mingle", *given])
