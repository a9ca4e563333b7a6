"""A job as people outside see it: as REST answers with it and as a webhook tells of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson

from rateguard.engine.lanes import Lane
from rateguard.jobs.bodies import opened, told_of
from rateguard.jobs.models import Job

_AS_THEY_ARE = ("model", "endpoint", "user", "team", "rolegroup", "role", "cost_center", "labels", "metadata", "deployment", "request_id")


def render_job(job: Job, *, attempts: int | None = None, has_result: bool = True) -> dict[str, Any]:
    """The job's representation. Times are RFC 3339 in UTC; cost_usd is exact, cost_nano_usd the same as a whole number.

    attempts: where they are counted already. has_result: False leaves the field out, and the column unread.
    """
    shown = {
        "id": str(job.pk),
        "object": "job",
        "status": job.state,
        **{name: getattr(job, name) for name in _AS_THEY_ARE},
        "run": None if job.run is None else str(job.run),
        "path": job.path,
        "downgraded_from": job.downgraded_from or None,
        "fallen_back_from": job.fallen_back_from or None,
        "fallbacks": job.fallbacks,
        "lane": Lane(job.lane).label,
        "submitted_at": time_text(job.submitted_at),
        "run_at": time_text(job.run_at),
        "deadline": time_text(job.deadline_at),
        "started_at": time_text(job.started_at),
        "finished_at": time_text(job.finished_at),
        "delivery": job.delivery,
        "timeout": job.timeout_s,
        "connect_timeout": job.connect_timeout_s,
        "first_token_timeout": job.first_token_timeout_s,
        "store": job.is_stored,
        "purged_at": time_text(job.purged_at),
        "webhook": job.webhook,
        "batch": None if job.batch_id is None else str(job.batch_id),
        "custom_id": job.custom_id,
        "fingerprint": job.fingerprint,
        "max_tries": job.max_tries,
        "tries": job.tries,
        "attempts": _attempts(job) if attempts is None else attempts,
        "cancel_requested": job.cancel_requested,
        "result": orjson.Fragment(opened(job.result)) if has_result and job.result is not None else None,
        "error": {"code": job.error_code, "message": told_of(job.error_message)} if job.error_code else None,
        "usage": _usage(job),
        "cost_usd": usd(job.nano_usd),
        "cost_nano_usd": job.nano_usd,
        "queue_ms": job.queue_ms,
        "latency_ms": job.latency_ms,
    }
    if not has_result:
        del shown["result"]
    return shown


def _attempts(job: Job) -> int:
    return job.attempts.count() if job.attempt else 0


def _usage(job: Job) -> dict[str, int]:
    """As billed, over all attempts."""
    return {
        "prompt_tokens": job.used_input_tokens,
        "completion_tokens": job.used_output_tokens,
        "total_tokens": job.used_input_tokens + job.used_output_tokens,
    }


def usd(nano_usd: int) -> str:
    """Dollars as a decimal number with all nine places: a JSON number would lose some."""
    sign, exact = "-" if nano_usd < 0 else "", abs(nano_usd)
    return f"{sign}{exact // 10**9}.{exact % 10**9:09d}"


def time_text(time: dt.datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if time else None
