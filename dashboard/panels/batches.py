"""Batches as their pages show them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping
from urllib.parse import urlencode

from dashboard.panels.jobs import TONES
from dashboard.queries.batches import Listed
from rateguard.jobs.batches.progress import Progress
from rateguard.jobs.models import Batch, BatchState
from rateguard.jobs.states import TERMINAL, WAITING, State

BATCH_TONES = {BatchState.COMPLETED: "good", BatchState.CANCELLED: "warn", BatchState.IN_PROGRESS: "now"}
STATE_WORDS = {BatchState.IN_PROGRESS: "in progress"}
_MS = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch in the list. share: of its jobs that have ended. badly: failed, cancelled or expired."""

    id: uuid.UUID
    short: str
    name: str
    tenant: str
    at: dt.datetime
    state: str
    tone: str
    total: int
    ended: int
    badly: int
    rejected: int
    share: float


@dataclasses.dataclass(frozen=True, slots=True)
class BatchList:
    """The page. older: its address, "" where there is none."""

    lines: tuple[BatchLine, ...]
    older: str
    tenant: str


@dataclasses.dataclass(frozen=True, slots=True)
class BatchPanel:
    """One batch. parts: jobs by state, those that there are, with the address that lists them. left_ms: until the rest has ended."""

    state: str
    tone: str
    sentence: str
    share: float
    ended: int
    parts: tuple[tuple[str, str, int, str], ...]
    left_ms: int | None
    took_ms: int | None
    is_live: bool
    can_cancel: bool
    jobs_address: str


def list_panel(listed: Listed, tenant: str) -> BatchList:
    """What the template shows."""
    older = urlencode({**({"tenant": tenant} if tenant else {}), "cursor": listed.older.written()}) if listed.older else ""
    return BatchList(tuple(_line(batch, listed.counts[batch.pk]) for batch in listed.batches), f"?{older}" if older else "", tenant)


def _line(batch: Batch, counts: Mapping[str, int]) -> BatchLine:
    ended = sum(counts[state] for state in TERMINAL)
    return BatchLine(
        id=batch.pk,
        short=str(batch.pk)[:8],
        name=batch.name,
        tenant=batch.tenant.name,
        at=batch.submitted_at,
        state=STATE_WORDS.get(BatchState(batch.state), batch.state),
        tone=BATCH_TONES[BatchState(batch.state)],
        total=batch.total,
        ended=ended,
        badly=ended - counts[State.SUCCEEDED],
        rejected=batch.rejected,
        share=ended / batch.total if batch.total else 1.0,
    )


def batch_panel(batch: Batch, progress: Progress) -> BatchPanel:
    """How it stands, in words and figures."""
    is_live = batch.state == BatchState.IN_PROGRESS
    left_s = progress.left_s(batch)
    took = None if batch.finished_at is None else batch.finished_at - batch.submitted_at
    return BatchPanel(
        state=STATE_WORDS.get(BatchState(batch.state), batch.state),
        tone=BATCH_TONES[BatchState(batch.state)],
        sentence=_sentence(batch, progress),
        share=progress.ended / progress.total if progress.total else 1.0,
        ended=progress.ended,
        parts=tuple((state, TONES.get(State(state), ""), jobs, _address(batch, state)) for state, jobs in progress.counts.items() if jobs),
        left_ms=left_s * _MS if is_live and left_s else None,
        took_ms=None if took is None else int(took.total_seconds() * _MS),
        is_live=is_live,
        can_cancel=is_live and not batch.cancel_requested,
        jobs_address=_address(batch),
    )


def _sentence(batch: Batch, progress: Progress) -> str:
    waiting = sum(progress.counts.get(state, 0) for state in WAITING)
    running = progress.counts.get(State.RUNNING, 0)
    if batch.state == BatchState.IN_PROGRESS and batch.cancel_requested:
        return f"It is being cancelled: {running:,} jobs still run."
    if batch.state == BatchState.IN_PROGRESS:
        return f"{progress.ended:,} of {progress.total:,} jobs have ended, {running:,} run, {waiting:,} wait."
    succeeded = progress.counts.get(State.SUCCEEDED, 0)
    words = (
        "All of it was done"
        if succeeded == progress.total and not batch.rejected
        else f"{succeeded:,} of {progress.total:,} jobs succeeded"
    )
    return f"{words}, and the rest was cancelled." if batch.state == BatchState.CANCELLED else f"{words}."


def _address(batch: Batch, state: str = "") -> str:
    """The page of its jobs. The tabs of that page know states by their own names."""
    return "?" + urlencode({"tenant": batch.tenant.name, "batch": str(batch.pk), **({"state": state} if state else {})})
