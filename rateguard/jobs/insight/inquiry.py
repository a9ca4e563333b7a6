"""Which limit is in my way? A caller's question about a request that he thinks of, and the answer from rows and gate."""

from __future__ import annotations

import dataclasses
import uuid

from rateguard import wiring
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Need
from rateguard.jobs.insight.binding import Asked, Obstacle, binding
from rateguard.jobs.insight.effective import Standing, standing
from rateguard.jobs.insight.expect import expected_output_tokens
from rateguard.jobs.lineage import lineage_of
from rateguard.jobs.marked import able_places
from rateguard.jobs.models import Job
from rateguard.jobs.places import need_at, places_of
from tenants.directory import Place


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A request that somebody thinks of: whose it would be, where it would go, what it would need.

    Names that are empty are not on the path. model: empty, where only the path is asked for. viewer: the tenant who asks, None for an
    operator, who may see what others use. route_marks: of a job, the deployments that it leaves out.
    """

    tenant_id: int
    team: str = ""
    rolegroup: str = ""
    role: str = ""
    user: str = ""
    run: uuid.UUID | None = None
    key: int | None = None
    model: str = ""
    lane: Lane = Lane.NORMAL
    input_tokens: int = 1
    max_tokens: int = 0
    viewer: int | None = None
    route_marks: str = ""


def inquiry_of(job: Job, viewer: int | None) -> Inquiry:
    """What a job that waits would be asked about, as it was reserved for. viewer: as above."""
    return Inquiry(
        tenant_id=job.tenant_id,
        team=job.team,
        rolegroup=job.rolegroup,
        role=job.role,
        user=job.user,
        run=job.run,
        key=job.api_key_id,
        model=job.model,
        lane=Lane(job.lane),
        input_tokens=job.input_tokens,
        max_tokens=job.max_output_tokens,
        viewer=viewer,
        route_marks=job.route_marks,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """How everything stands, what the request would need, and what it meets first (None: nothing limits it)."""

    standing: Standing
    asked: Asked
    binding: Obstacle | None


def inquire(inquiry: Inquiry) -> Finding:
    """Answer, with two calls of the gate. Raises InvalidRequest: `unknown_model`, `unknown_run`, `run_stopped`; GateError."""
    places = _places(inquiry)
    found = standing(path_of(inquiry), inquiry.lane, places or (), inquiry.viewer, inquiry.model)
    asked = Asked(_need(inquiry, places or ()), inquiry.lane, found.now_ms)
    return Finding(found, asked, binding(found.path, None if places is None else found.places, asked))


def path_of(inquiry: Inquiry) -> str:
    """The nodes that the request would charge."""
    return wiring.path_of(
        inquiry.tenant_id,
        team=inquiry.team,
        rolegroup=inquiry.rolegroup,
        role=inquiry.role,
        user=inquiry.user,
        runs=lineage_of(inquiry.run, inquiry.tenant_id, pointer="").runs,
        key=inquiry.key,
    )


def _places(inquiry: Inquiry) -> tuple[Place, ...] | None:
    if not inquiry.model:
        return None
    places_of(inquiry.model, inquiry.tenant_id, adopts=False)  # a model that is not there is told
    return able_places(inquiry.model, inquiry.tenant_id, inquiry.route_marks)


def _need(inquiry: Inquiry, places: tuple[Place, ...]) -> Need:
    """As `submit` would reserve it; without a model nothing is known of its cost."""
    expected = inquiry.max_tokens
    if inquiry.model:
        expected = expected_output_tokens(inquiry.tenant_id, inquiry.model, inquiry.max_tokens)
    return need_at(places, inquiry.input_tokens, expected, inquiry.max_tokens)
