"""What is left in the gate once all is done, and webhooks that never came."""

from __future__ import annotations

import uuid

from rateguard.jobs.states import TERMINAL, State
from rateguard.torture.checks.evidence import Evidence, Found


def reservations_left(evidence: Evidence) -> Found:
    """Reservations and waiting jobs of the gate, and attempts that are open by their rows."""
    found = Found()
    for held in evidence.held:
        found.add(f"the gate holds {held}")
    if evidence.waiting:
        found.add(f"{evidence.waiting} jobs wait in the gate by its count", evidence.waiting)
        found.lines += [f"the waiting room has {place}" for place in evidence.waiting_jobs] or ["the waiting room itself is empty"]
    for attempt in evidence.attempts.values():
        if attempt.ended_at is None:
            found.add(f"attempt {attempt.job}.{attempt.number} is open by its row, of {attempt.holder}")
    return found


def webhooks_missing(evidence: Evidence) -> Found:
    """Ends that nobody was told of, told wrongly, or told with a signature that is not ours. A message that comes twice is one."""
    found = Found()
    told: dict[uuid.UUID, set[str]] = {}
    for message in evidence.messages:
        if message.trouble:
            found.add(f"message {message.id} ({message.kind}) at {evidence.record.since(message.at).strip()}: {message.trouble}")
        elif message.job is not None:
            told.setdefault(message.job, set()).add(message.kind)
    for one in evidence.record.accepted:
        job = evidence.jobs.get(one.job)
        if not one.has_webhook or job is None or State(job.state) not in TERMINAL:
            continue
        if f"job.{job.state}" not in told.get(one.job, set()):
            heard = ", ".join(sorted(told.get(one.job, set()))) or "nothing"
            found.add(f"job {one.job} {job.state}, and its receiver heard {heard}")
    return found
