"""The Celery tasks of a worker: one carries granted job ids to it, on any pool (ours is the default); one calls errbacks."""

from __future__ import annotations

import asyncio
from typing import Any

from celery import Task, shared_task, signals
from celery.concurrency.prefork import TaskPool as PreforkPool

from rateguard.jobs.ends.errbacks import ERRBACK, call_errback
from rateguard.jobs.line.publisher import EXECUTE, Entry
from rateguard.python import delay  # noqa: F401 - registers `complete` and `embed`
from rateguard.python.received import revive_arguments
from rateguard.worker import lifecycle, revoking, runtime, tracing

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
    rate_limit = "0/s"  # none: not the host's task_default_rate_limit
    is_hot = True
    on_loop = staticmethod(_execute)


@shared_task(name=EXECUTE, base=ExecuteTask, ignore_result=True, acks_late=False)
def execute(entries: list[Entry], epoch: int) -> None:
    """Run granted jobs: [job id, attempt, deployment, reserved nano-dollars, send_by] each, granted in `epoch`."""
    asyncio.run_coroutine_threadsafe(_execute(entries, epoch), runtime.private_loop()).result()


@shared_task(name=ERRBACK, ignore_result=True, acks_late=True)
def errback(signature: dict[str, Any], request: dict[str, Any], error: dict[str, Any]) -> None:
    """Call an errback that takes (request, error, traceback) for a job that failed."""
    call_errback(signature, request, error)


signals.task_prerun.connect(revive_arguments, weak=False, dispatch_uid="rateguard.revive")
tracing.at_decode(revive_arguments)
signals.worker_init.connect(revoking.install, weak=False, dispatch_uid="rateguard.revoking")


# ---- under a pool without a loop of its own: a message keeps a process or thread busy to its end, so one job each is all there is room for


@signals.worker_process_init.connect(weak=False, dispatch_uid="rateguard.start_in_child")
def start_in_child(**_: Any) -> None:
    """Prefork: each child is a worker of its own."""
    runtime.start_apart(slots=1)


@signals.worker_ready.connect(weak=False, dispatch_uid="rateguard.start_in_threads")
def start_in_threads(sender: Any, **_: Any) -> None:
    """Threads: one worker with a slot a thread."""
    if lifecycle.loop() is None and not isinstance(sender.pool, PreforkPool):
        runtime.start_apart(slots=sender.pool.num_processes)


@signals.worker_shutting_down.connect(weak=False, dispatch_uid="rateguard.drain")
def take_no_more(**_: Any) -> None:
    """Claim nothing new; what runs too long goes back."""
    if runtime.has_private_loop():
        asyncio.run_coroutine_threadsafe(runtime.drain(), runtime.private_loop())


@signals.worker_process_shutdown.connect(weak=False, dispatch_uid="rateguard.leave")
@signals.worker_shutdown.connect(weak=False, dispatch_uid="rateguard.leave")
def leave(**_: Any) -> None:
    """Write what ended, leave."""
    if runtime.has_private_loop():
        asyncio.run_coroutine_threadsafe(runtime.stop(), runtime.private_loop()).result(timeout=runtime.LEAVE_S)
