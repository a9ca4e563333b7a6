"""A batch as callers see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.api.rendering import time_text, usd
from rateguard.jobs.batches.progress import Progress
from rateguard.jobs.models import Batch, BatchError


def render_batch(batch: Batch, counts: Mapping[str, int], progress: Progress | None = None) -> dict[str, Any]:
    """Times are RFC 3339 in UTC. counts: its jobs by state; progress: what lists leave out: tokens, cost, when the rest has ended."""
    shown = {
        "id": str(batch.pk),
        "object": "batch",
        "status": batch.state,
        "name": batch.name,
        "metadata": batch.metadata,
        "webhook": batch.webhook,
        "total": batch.total,
        "rejected": batch.rejected,
        "counts": dict(counts),
        "cancel_requested": batch.cancel_requested,
        "request_id": batch.request_id,
        "submitted_at": time_text(batch.submitted_at),
        "finished_at": time_text(batch.finished_at),
    }
    if progress is not None:
        shown |= {
            "eta_s": progress.left_s(batch),
            "usage": {
                "prompt_tokens": progress.input_tokens,
                "completion_tokens": progress.output_tokens,
                "total_tokens": progress.input_tokens + progress.output_tokens,
            },
            "cost_usd": usd(progress.nano_usd),
            "cost_nano_usd": progress.nano_usd,
        }
    return shown


def render_error(error: BatchError) -> dict[str, Any]:
    """A line that became no job."""
    return {"line": error.line, "custom_id": error.custom_id, "code": error.code, "message": error.message, "pointer": error.pointer}
