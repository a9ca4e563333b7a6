"""Models, their deployments and the limits of accounts and deployments, as the gate keeps them."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rateguard.conf import BREAKER_RANGES, conf
from rateguard.engine.breaker.rule import BreakerRule, Forced
from rateguard.engine.gate.contract import DeploymentRecord, ModelRecord, PausedLane
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.engine.limits.limit import Level, LimitRecord
from rateguard.engine.routing.contract import Choice
from rateguard.engine.wildcards import END
from tenants.directory import DEARER, Directory, Place, dearer_work
from tenants.models import Deployment, ForcedBreaker, Limit, ModelRoute, Pause, PauseKind
from tenants.records.counting import Counting
from tenants.records.limits import gate_id, limit_record, pause_record, until_ms
from tenants.records.ranking import Known, LimitsAt, Look, look_for, models_by_statistics, ranking, unseen
from tenants.routing import PLAIN

FORCED = {word: Forced[word.name] for word in ForcedBreaker}
"""What a person has set, in the rows' words and in the gate's."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRecords:
    """Limits of the providers, and the models."""

    limits: tuple[LimitRecord, ...]
    models: tuple[ModelRecord, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _AtDeployments:
    """What stands at every deployment: limits that providers set, pauses by what they are on, the breaker's rule; what the gate saw."""

    limits: LimitsAt
    paused: Mapping[tuple[PauseKind, str], Sequence[str]]
    rules: Mapping[int, BreakerRule]
    known: Known

    def model(self, name: str, pool: str, places: Sequence[Place], found: Directory) -> ModelRecord:
        """A list, ranked. A pause of the model, or of the wildcard that it follows, is on each of its deployments, in that list."""
        public = found.public_name(name)
        by_id = {str(place.id): place for place in places}
        ranked = ranking(found.routing.get(public, PLAIN), places, self.limits, self.known)
        paused = [one for model in (public, found.followers.get(public, "")) for one in self.paused.get((PauseKind.MODEL, model), ())]
        return ModelRecord(name, pool, tuple(self._record(one, by_id[one.id], paused) for one in ranked.choices), ranked.mode)

    def _record(self, choice: Choice, place: Place, paused: Sequence[str]) -> DeploymentRecord:
        account, own = (PauseKind.ACCOUNT, str(place.account_id)), (PauseKind.DEPLOYMENT, str(place.id))
        return DeploymentRecord(
            id=choice.id,
            limits=(*self.limits.at(place), *self.paused.get(account, ()), *self.paused.get(own, ()), *paused),
            cools=(account_target(place.account_id), deployment_target(place.id)),
            **_dearest(place),
            breaker=self.rules.get(place.id) or conf().breaker,
            tier=choice.tier,
            weight=choice.weight,
            after_ms=choice.after_ms,
        )


def _dearest(place: Place) -> dict[str, int]:
    input_pico, output_pico = place.price.dearest_at((), 0)
    return {"input_pico": input_pico, "output_pico": output_pico}


def model_records(found: Directory, look: Look = unseen) -> ModelRecords:
    """The limits of accounts and deployments, and the models. look: at the gate, for the strategies that go by what it has seen."""
    rows = list(Limit.objects.filter(scope__isnull=True).select_related("scope").order_by("pk"))
    pauses = _pauses()
    there = _at_deployments(found, rows, pauses, look)
    pools = _pools(found)
    models = (
        there.model(name, pools[name.partition(DEARER)[0]], places, found)
        for name, places in {**found.gate_models(), **found.dearer_models()}.items()
    )
    counting = Counting((place.account_id, place.id, place.target) for place in found.places.values())
    limits = (
        *(limit_record(row, counting.of(row.account_id, row.deployment_id)) for row in rows),
        *(pause_record(pause, Level.SHARED) for pause in pauses),
    )
    return ModelRecords(limits, (*models, *_closed_models(found)))


def ranked_anew(found: Directory, look: Look) -> tuple[ModelRecord, ...]:
    """The lists of those models alone whose ranking changes with what the gate sees."""
    names = set(models_by_statistics(found))
    if not names:
        return ()
    rows = list(Limit.objects.filter(scope__isnull=True).order_by("pk"))
    there, pools = _at_deployments(found, rows, _pauses(), look), _pools(found)
    lists = {**found.gate_models(), **found.dearer_models()}
    return tuple(
        there.model(name, pools[name.partition(DEARER)[0]], places, found)
        for name, places in lists.items()
        if found.public_name(name) in names
    )


def _at_deployments(found: Directory, rows: Iterable[Limit], pauses: Iterable[Pause], look: Look) -> _AtDeployments:
    limits = LimitsAt.read((gate_id(row), row.metric, row.account_id, row.deployment_id) for row in rows)
    paused: dict[tuple[PauseKind, str], list[str]] = defaultdict(list)
    for pause in pauses:
        paused[PauseKind(pause.target_kind), pause.target].append(f"p{pause.pk}")
    rules = {row.pk: breaker_rule(row) for row in Deployment.objects.all()}
    return _AtDeployments(limits, paused, rules, look_for(found, limits, look))


def _pauses() -> list[Pause]:
    """Those of accounts, deployments and models."""
    return list(Pause.objects.filter(target_kind__in=(PauseKind.ACCOUNT, PauseKind.DEPLOYMENT, PauseKind.MODEL)).order_by("pk"))


def breaker_rule(row: Deployment) -> BreakerRule:
    """The rule of a deployment: its own figures, and the setting's for those that it does not name."""
    own = {name: getattr(row, f"breaker_{name}") for name in BREAKER_RANGES}
    given = {name: value for name, value in own.items() if value is not None}
    return dataclasses.replace(conf().breaker, forced=FORCED[ForcedBreaker(row.breaker_forced)], **given)


def _closed_models(found: Directory) -> Iterator[ModelRecord]:
    """Disabled models have no deployments: their jobs wait until they are enabled, cancelled or too late."""
    routes = (
        ModelRoute.objects.filter(is_enabled=False).exclude(name__endswith=END).values_list("name", "targets__deployment__account__tenant")
    )
    for name, owner in routes:
        yield from closed_lists(name, found)
        if owner is not None:
            yield from closed_lists(f"{name}@{owner}", found)


def closed_lists(name: str, found: Directory) -> Iterator[ModelRecord]:
    """A list that nobody serves, and those of its dearer work."""
    for end in ("", *(end for end, _ in dearer_work(found.places.values()).each())):
        yield ModelRecord(f"{name}{end}", f"{name}{end}", ())


def account_target(account_id: int) -> str:
    """What a cooldown of an account is known by."""
    return f"a{account_id}"


def deployment_target(deployment_id: int) -> str:
    """What a cooldown of a deployment is known by."""
    return f"d{deployment_id}"


def _pools(found: Directory) -> dict[str, str]:
    """Models that reach a common account, directly or through others, share a pool; it is named by its least account."""
    groups: list[tuple[set[int], set[str]]] = []
    for name, places in found.gate_models().items():
        accounts, names = {place.account_id for place in places}, {name}
        apart = [group for group in groups if not group[0] & accounts]
        for near in (group for group in groups if group[0] & accounts):
            accounts, names = accounts | near[0], names | near[1]
        groups = [*apart, (accounts, names)]
    return {name: f"a{min(accounts)}" if accounts else name for accounts, names in groups for name in names}


def paused_lanes() -> tuple[PausedLane, ...]:
    """All lanes that take nothing."""
    rows = Pause.objects.filter(target_kind=PauseKind.LANE)
    return tuple(sorted((PausedLane(parse_lane(row.target), until_ms(row)) for row in rows), key=_lane_of))


def _lane_of(paused: PausedLane) -> Lane:
    return paused.lane
