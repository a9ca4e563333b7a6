"""Models, their deployments and the limits of accounts and deployments, as the gate keeps them."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator

from rateguard.conf import BREAKER_RANGES, conf
from rateguard.engine.breaker.rule import BreakerRule, Forced
from rateguard.engine.gate.contract import DeploymentRecord, ModelRecord, PausedLane
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.engine.limits.limit import Level, LimitRecord
from tenants.directory import DEARER, Directory, Place, dearer_work
from tenants.models import Deployment, ForcedBreaker, Limit, ModelRoute, Pause, PauseKind
from tenants.records.counting import Counting
from tenants.records.limits import gate_id, limit_record, pause_record, until_ms

FORCED = {word: Forced[word.name] for word in ForcedBreaker}
"""What a person has set, in the rows' words and in the gate's."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRecords:
    """Limits of the providers, and the models."""

    limits: tuple[LimitRecord, ...]
    models: tuple[ModelRecord, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _AtDeployments:
    """What every deployment is limited by: ids of limits and pauses by what they are on; and its breaker's rule."""

    on: dict[tuple[PauseKind, str], list[str]]
    rules: dict[int, BreakerRule]

    def record(self, model: str, place: Place) -> DeploymentRecord:
        """A deployment in a model's list. A pause of the model is on each of its deployments, in that list."""
        account, own = (PauseKind.ACCOUNT, str(place.account_id)), (PauseKind.DEPLOYMENT, str(place.id))
        limits = (*self.on[account], *self.on[own], *self.on[PauseKind.MODEL, model])
        cools = (account_target(place.account_id), deployment_target(place.id))
        rule = self.rules.get(place.id) or conf().breaker
        return DeploymentRecord(str(place.id), limits, cools, *place.price.dearest_at((), 0), rule)


def model_records(found: Directory) -> ModelRecords:
    """The limits of accounts and deployments, and the models."""
    rows = list(Limit.objects.filter(scope__isnull=True).select_related("scope").order_by("pk"))
    pauses = list(Pause.objects.filter(target_kind__in=(PauseKind.ACCOUNT, PauseKind.DEPLOYMENT, PauseKind.MODEL)).order_by("pk"))
    on: dict[tuple[PauseKind, str], list[str]] = defaultdict(list)
    for row in rows:
        on[(PauseKind.ACCOUNT, str(row.account_id)) if row.account_id else (PauseKind.DEPLOYMENT, str(row.deployment_id))].append(
            gate_id(row)
        )
    for pause in pauses:
        on[PauseKind(pause.target_kind), pause.target].append(f"p{pause.pk}")
    there = _AtDeployments(on, {row.pk: breaker_rule(row) for row in Deployment.objects.all()})
    pools = _pools(found)
    models = (
        ModelRecord(name, pools[name.partition(DEARER)[0]], tuple(there.record(found.public_name(name), place) for place in places))
        for name, places in {**found.gate_models(), **found.dearer_models()}.items()
    )
    counting = Counting((place.account_id, place.id, place.target) for place in found.places.values())
    limits = (
        *(limit_record(row, counting.of(row.account_id, row.deployment_id)) for row in rows),
        *(pause_record(pause, Level.SHARED) for pause in pauses),
    )
    return ModelRecords(limits, (*models, *_closed_models(found)))


def breaker_rule(row: Deployment) -> BreakerRule:
    """The rule of a deployment: its own figures, and the setting's for those that it does not name."""
    own = {name: getattr(row, f"breaker_{name}") for name in BREAKER_RANGES}
    given = {name: value for name, value in own.items() if value is not None}
    return dataclasses.replace(conf().breaker, forced=FORCED[ForcedBreaker(row.breaker_forced)], **given)


def _closed_models(found: Directory) -> Iterator[ModelRecord]:
    """Disabled models have no deployments: their jobs wait until they are enabled, cancelled or too late."""
    routes = ModelRoute.objects.filter(is_enabled=False).values_list("name", "targets__deployment__account__tenant")
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
