"""The Celery task that carries granted job ids to a worker. It runs on any pool; ours is the default."""

from __future__ import annotations

import asyncio
from typing import Any

from celery import Task, shared_task, signals

from rateguard.jobs import delay  # noqa: F401 - registers `complete` and `embed`, which refuse to run
from rateguard.jobs.publisher import EXECUTE, Entry
from rateguard.worker import lifecycle, runtime

lifecycle.at_start(runtime.start)
lifecycle.at_drain(runtime.drain)
lifecycle.at_stop(runtime.stop)


async def _execute(entries: list[Entry], epoch: int) -> None:
    running = await runtime.started()
    await running.executor.execute(entries, epoch)


class ExecuteTask(Task):  # type: ignore[type-arg] # generic in the stubs only
    """Takes no slot of the pool (the gate bounds it), stores no result, and is awaited where the pool has a loop."""

    abstract = True
    pool_slots = 0
    is_hot = True
    on_loop = staticmethod(_execute)


@shared_task(name=EXECUTE, base=ExecuteTask, ignore_result=True, acks_late=False)
def execute(entries: list[Entry], epoch: int) -> None:
    """Run granted jobs: [job id, attempt, deployment, reserved nano-dollars, send_by] each, granted in `epoch`."""
    asyncio.run_coroutine_threadsafe(_execute(entries, epoch), runtime.private_loop()).result()


@signals.worker_process_shutdown.connect(weak=False, dispatch_uid="rateguard.leave")
@signals.worker_shutdown.connect(weak=False, dispatch_uid="rateguard.leave")
def leave(**_: Any) -> None:
    """Under a pool without a loop of its own: write what ended, leave."""
    if runtime.has_private_loop():
        asyncio.run_coroutine_threadsafe(runtime.stop(), runtime.private_loop()).result(timeout=runtime.LEAVE_S)
