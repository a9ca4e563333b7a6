"""What hangs on a job's end in a canvas moves on: the outbox's teller of canvases."""

from __future__ import annotations

from rateguard.jobs.ends.moving import move, prepare
from rateguard.jobs.inherit import resumed
from rateguard.jobs.models import Job
from rateguard.jobs.states import State

__all__ = ["prepare", "tell"]


def tell(job: Job) -> None:
    """Move the canvas of an ended job, in the transaction that deletes its row of the outbox."""
    with resumed((job.canvas or {}).get("context"), job.run):
        move(job)
    Job.objects.filter(pk=job.pk).update(canvas=_told(job))


def _told(job: Job) -> dict[str, list[str]] | None:
    """What stays of a canvas: the ids of what its end let go on, for `AsyncResult.children`."""
    if job.state != State.SUCCEEDED:
        return None
    canvas = job.canvas or {}
    steps = [*(canvas.get("link") or ()), *(canvas.get("chain") or ())[-1:]]
    children = [step["options"]["task_id"] for step in steps if step.get("options", {}).get("task_id")]
    return {"children": children} if children else None
