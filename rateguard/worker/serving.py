"""The lanes that this worker serves: those whose queues it consumes. A worker of a host's own tasks serves none, and runs no job."""

from __future__ import annotations

from celery import current_app

from rateguard.engine.lanes import Lane, queue_name


def served_lanes() -> tuple[Lane, ...]:
    """The lanes among the queues of this process's worker; without -Q these are Celery's `task_queues`."""
    consumed = current_app.amqp.queues.consume_from
    return tuple(lane for lane in Lane if queue_name(lane) in consumed)
