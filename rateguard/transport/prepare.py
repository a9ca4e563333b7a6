"""From a client's request to a call that the gate can judge: who pays, what it needs, where it may go. Reads the database."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from typing import Any, Self

import orjson

from rateguard import wiring
from rateguard.calls.call import Call
from rateguard.conf import conf
from rateguard.engine.asked import price_words
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.engine.providers.base import Endpoint, Request
from rateguard.engine.routing import marks
from rateguard.engine.routing.sticky import home
from rateguard.engine.tokens import count_input, count_output
from rateguard.engine.tokens.calibration import reserved
from rateguard.jobs.inherit import current_run
from rateguard.jobs.insight.calibrated import reserve_permille
from rateguard.jobs.insight.expect import expected_output_tokens
from rateguard.jobs.intake.building import places_for_work
from rateguard.jobs.intake.checking import check
from rateguard.jobs.intake.marking import session_in
from rateguard.jobs.intake.screened import screened
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.lineage import lineage_of
from rateguard.python.context import filled
from rateguard.python.within import as_run_id, paying_tenant
from rateguard.transport.dialects.contract import Asked, Dialect
from rateguard.transport.providers import provider_of
from tenants.directory import Place
from tenants.routing import PLAIN

VIA = "transport"
"""The door, as middlewares hear it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Who:
    """Whose calls a client makes. said: keywords of a call, as `.delay()` has them: tenant, user, team, …, labels, lane, run.

    wait_s: how long a call may wait at the gate; None: as the settings say. max_tokens: what is put in where a request says no length;
    None: as the settings say.
    """

    said: Mapping[str, Any]
    wait_s: float | None = None
    max_tokens: int | None = None

    @property
    def patience_s(self) -> float:
        """How long a call waits."""
        return conf().transport_wait_s if self.wait_s is None else self.wait_s


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A call that can be put to the gate, as often as needs be: each time under an id of its own (`call_as`).

    added_tokens: the length that is put in, None where the caller said one. able: the deployments that it may go to; others: ids of those
    of its model that it may not. list_name: what the gate calls them all. home: the deployment that keeps its session, "" for none.
    tried: ids of those that could not be reached.
    """

    dialect: Dialect
    asked: Asked
    call: Call
    counted: int
    added_tokens: int | None
    able: tuple[Place, ...]
    others: frozenset[int]
    list_name: str
    home: str
    tried: frozenset[int] = frozenset()

    def call_as(self, call_id: uuid.UUID) -> Call:
        """The call for the gate: whatever it may not go to is marked."""
        never = frozenset(str(one) for one in self.others | self.tried)
        text = marks.write(marks.Marks(never, self.home))
        gate_model = f"{self.list_name}{marks.MARK}{text}" if text else self.list_name
        return dataclasses.replace(self.call, id=call_id, gate_model=gate_model)

    def without(self, place: Place) -> Self | None:
        """The same without a deployment that could not be reached; None where no other is left, or one was left out before."""
        left = tuple(one for one in self.able if one.id != place.id)
        return dataclasses.replace(self, able=left, tried=frozenset({place.id})) if left and not self.tried else None


def prepare(dialect: Dialect, asked: Asked, who: Who) -> Prepared:
    """Check it, let middlewares pass, count it. Raises InvalidRequest, MiddlewareBroke, ConfigurationError."""
    submission = _submission(asked, who)
    check(submission)
    passed = screened(submission)
    if passed is not submission:
        asked = dialect.changed(asked, passed.body)
    places = places_for_work(asked.model, submission.tenant.pk)
    able = _able(dialect, asked, places)
    added = None if asked.max_output_tokens is not None else who.max_tokens or conf().default_max_tokens
    counted = _count(asked, able[0])
    call = _call(submission, asked, able[0], counted, (added or 0) if asked.max_output_tokens is None else asked.max_output_tokens)
    list_name = wiring.directory().gate_model(asked.model, submission.tenant.pk, price_words(asked.view), call.input_tokens)
    others = frozenset(place.id for place in places) - {place.id for place in able}
    return Prepared(dialect, asked, call, counted, added, able, others, list_name, _home(submission, asked, able))


def _submission(asked: Asked, who: Who) -> Submission:
    """As `.delay()` understands the same words, inside the same contexts and runs."""
    said = filled(who.said)
    lane, tenant, run = said.pop("lane", None), said.pop("tenant", None), as_run_id(said.pop("run", None)) or current_run()
    return Submission(
        tenant=paying_tenant(tenant, run),
        endpoint=asked.endpoint,
        body=asked.view,
        lane=None if lane is None else parse_lane(lane),
        run=run,
        via=VIA,
        **said,
    )


def _able(dialect: Dialect, asked: Asked, places: tuple[Place, ...]) -> tuple[Place, ...]:
    """The deployments that understand the client's dialect and can do what it asks. Raises InvalidRequest where none is left."""
    speaking = [place for place in places if dialect.speaks(provider_of(place))]
    if not speaking:
        there = ", ".join(sorted({place.target.provider for place in places}))
        raise InvalidRequest(
            f"no deployment of model {asked.model!r} speaks {dialect.name}: it has {there}; name another model, ask through that "
            "provider's own client, or by rateguard.complete, which speaks to all",
            code="no_deployment_speaks",
            pointer="/model",
        )
    request, refusals, able = Request(asked.endpoint, asked.view, ""), [], []
    for place in speaking:
        try:
            provider_of(place).check(place.target, request)
        except InvalidRequest as refusal:
            refusals.append(refusal)
        else:
            able.append(place)
    if not able:
        raise refusals[0]
    return tuple(able)


def _home(submission: Submission, asked: Asked, able: tuple[Place, ...]) -> str:
    """Where the prompts of its session are cached; "" where the model's sessions are not kept together, or there is no choice."""
    session, routing = submission.session or session_in(asked.view), wiring.directory().routing.get(asked.model, PLAIN)
    if not session or not routing.is_sticky or len(able) < 2:
        return ""
    return home(session, [(str(place.id), routing.weights.get(place.id, 1)) for place in able])


def _call(submission: Submission, asked: Asked, first: Place, counted: int, most: int) -> Call:
    """What it charges and needs; its id and its list come with each try."""
    tenant_id, lineage = submission.tenant.pk, lineage_of(submission.run, submission.tenant.pk)
    names = {name: getattr(submission, name) for name in ("team", "rolegroup", "role", "user")}
    return Call(
        id=uuid.UUID(int=0),
        tenant_id=tenant_id,
        model=asked.model,
        gate_model="",
        path=wiring.path_of(tenant_id, runs=lineage.runs, **names),
        lane=Lane.NORMAL if submission.lane is None else submission.lane,
        input_tokens=reserved(counted, reserve_permille(first.id)),
        output_tokens=expected_output_tokens(tenant_id, asked.model, most),
        max_output_tokens=most,
        run=lineage.innermost,
        cost_center=submission.cost_center,
        labels=submission.labels,
        price_words=" ".join(price_words(asked.view)),
        **names,
    )


def _count(asked: Asked, place: Place) -> int:
    """A schema of a tool may be of a form that the counter does not read: then the body costs what its text costs."""
    model, provider = place.target.upstream_model, place.target.provider
    try:
        return count_input(asked.view, model, provider)
    except (AttributeError, KeyError, TypeError, ValueError):
        return count_output(orjson.dumps(asked.native).decode(), model, provider)


def max_tokens_of(prepared: Prepared) -> int | None:
    """What is put into the body; an embedding has no length."""
    return None if prepared.asked.endpoint is Endpoint.EMBEDDINGS else prepared.added_tokens
