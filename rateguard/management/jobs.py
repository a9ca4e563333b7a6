"""Jobs as the shell names and shows them."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import CommandError

from rateguard.api.rendering import render_job, time_text
from rateguard.engine.lanes import Lane
from rateguard.engine.money import format_usd
from rateguard.jobs.bodies import why_gone
from rateguard.jobs.ends.answer import answer_of as answer_of_job
from rateguard.jobs.ends.completion import Completion
from rateguard.jobs.insight.failures import Found
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, State
from rateguard.management.shell import table
from rateguard.python.whereabouts import whereabouts
from tenants.models import Tenant

LONGEST_MESSAGE = 80
_HEAD = ("id", "status", "lane", "tenant", "user", "model", "tokens", "cost", "submitted")


def find_job(text: str) -> Job:
    """The job of an id. Raises CommandError."""
    try:
        job = Job.objects.select_related("tenant").filter(pk=uuid.UUID(text)).first()
    except ValueError:
        job = None
    if job is None:
        raise CommandError(f"there is no job {text!r}: manage.py job list")
    return job


def listed_jobs(jobs: list[Job]) -> str:
    """A line for each."""
    rows = [
        (
            job.pk,
            job.state,
            Lane(job.lane).label,
            job.tenant.name,
            job.user or None,
            job.model,
            job.used_input_tokens + job.used_output_tokens,
            format_usd(job.nano_usd),
            time_text(job.submitted_at.replace(microsecond=0)),
        )
        for job in jobs
    ]
    return table(_HEAD, rows) if rows else "no such jobs: manage.py job submit --help"


def listed_failures(found: Found) -> str:
    """A line for each group."""
    names = dict(Tenant.objects.filter(pk__in={one.tenant for one in found.groups}).values_list("pk", "name"))
    rows = [
        (
            one.fingerprint,
            names.get(one.tenant),
            f"{one.jobs:,}{'+' if one.is_more else ''}",
            time_text(one.last_at.replace(microsecond=0)),
            ", ".join(one.models),
            f"{one.error}: {one.message}"[:LONGEST_MESSAGE],
        )
        for one in found.groups
    ]
    told = table(("fingerprint", "tenant", "jobs", "last", "models", "error"), rows) if rows else "nothing failed"
    return told + ("\nthere are more groups: narrow the time by --since and --until" if found.is_partial else "")


def told_job(job: Job) -> str:
    """One job in lines: what it is, where it stands, what it cost, and its answer or its error."""
    values = render_job(job)
    names = ("id", "status", "tenant", "model", "lane", *_WHOSE, "deployment", "tries", "attempts", *_TIMES)
    values |= {"tenant": job.tenant.name}
    told = {name: values.get(name) for name in names if values.get(name) not in (None, "", {}, [])}
    told |= {"labels": ", ".join(f"{key}={value}" for key, value in job.labels.items())} if job.labels else {}
    if job.state in TERMINAL:
        told["tokens"] = f"{job.used_input_tokens:,} in, {job.used_output_tokens:,} out"
        told["cost"] = format_usd(job.nano_usd)
    else:
        told["now"] = whereabouts(job.pk)
    if job.error_code:
        told["error"] = f"{job.error_code}: {job.error_message}"
    width = max(map(len, told))
    lines = [f"{name.replace('_', ' ').ljust(width)}  {value}" for name, value in told.items()]
    return "\n".join([*lines, "", answer_of(job)]) if job.state == State.SUCCEEDED else "\n".join(lines)


_WHOSE = ("user", "team", "rolegroup", "role", "cost_center", "run", "downgraded_from", "fallen_back_from")
_TIMES = ("submitted_at", "run_at", "deadline", "started_at", "finished_at", "queue_ms", "latency_ms")


def answer_of(job: Job) -> str:
    """The text of the answer; the whole answer as JSON where it is no text, as of embeddings or tool calls."""
    return str(Completion.of(job)) or answer_of_job(job) or why_gone(job)


def ended_well(job: Job) -> str:
    """What a job took, in one line."""
    took = f" in {(job.queue_ms or 0) + (job.latency_ms or 0):,} ms" if job.latency_ms is not None else ""
    tokens = f"{job.used_input_tokens:,} + {job.used_output_tokens:,} tokens"
    return f"job {job.pk} {job.state}{took}: {tokens}, {format_usd(job.nano_usd)}, by {job.deployment}"


def as_values(job: Job) -> dict[str, Any]:
    """A job as the API has it, with its tenant."""
    return {**render_job(job), "tenant": job.tenant.name}
