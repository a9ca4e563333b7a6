"""The order in which the gate asks a model's deployments: what the rows say and what the gate has seen, ranked.

The gate is not asked from here: whoever writes records hands over a look at it. Without one nothing is known, and all look alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from rateguard.engine.gate.contract import DeploymentStatistics, Inspection, LimitUse
from rateguard.engine.routing.contract import Candidate, Choice, Ranking, Strategy
from rateguard.engine.routing.strategies import rank
from tenants.directory import Directory, Place
from tenants.models import Metric
from tenants.routing import PLAIN, Routing

BY_STATISTICS = frozenset({Strategy.LEAST_UTILIZED, Strategy.LOWEST_LATENCY, Strategy.TOKEN_AWARE, Strategy.BALANCED})
"""Strategies whose ranking changes with what the gate sees."""
_OF_TOKENS = frozenset({Metric.TOKENS.value, Metric.INPUT_TOKENS.value, Metric.OUTPUT_TOKENS.value})
_FINE = 100
"""Weights from here on are told in tens: a gate is not written to because a figure moved by less than a hundredth of the most."""
_UNSEEN = DeploymentStatistics("", 0, None, 0, None)


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What the gate has seen: of deployments by id, of limits by theirs."""

    statistics: Mapping[str, DeploymentStatistics]
    uses: Mapping[str, LimitUse]

    @classmethod
    def of(cls, seen: Inspection) -> Known:
        """What one look says."""
        return cls({one.deployment: one for one in seen.statistics}, {one.id: one for one in seen.limits})


Look = Callable[[Sequence[str]], Known]
"""What the gate says of these limits and of all deployments. It never fails: where the gate is away, nothing is known."""
NOTHING = Known({}, {})


def unseen(_limits: Sequence[str]) -> Known:
    """A look without a gate."""
    return NOTHING


@dataclasses.dataclass(frozen=True, slots=True)
class LimitsAt:
    """The ids of the limits that providers set, by account and by deployment, and which of them count tokens."""

    of_accounts: Mapping[int, Sequence[str]]
    of_deployments: Mapping[int, Sequence[str]]
    of_tokens: frozenset[str]

    @classmethod
    def read(cls, rows: Iterable[tuple[str, str, int | None, int | None]]) -> LimitsAt:
        """Of rows: the gate's id, the metric, the account or the deployment that the limit is on."""
        accounts: dict[int, list[str]] = {}
        deployments: dict[int, list[str]] = {}
        tokens: set[str] = set()
        for name, metric, account, deployment in rows:
            if account is not None:
                accounts.setdefault(account, []).append(name)
            elif deployment is not None:
                deployments.setdefault(deployment, []).append(name)
            if metric in _OF_TOKENS:
                tokens.add(name)
        return cls(accounts, deployments, frozenset(tokens))

    def at(self, place: Place) -> list[str]:
        """Those that a call there meets."""
        return [*self.of_accounts.get(place.account_id, ()), *self.of_deployments.get(place.id, ())]


def models_by_statistics(found: Directory) -> list[str]:
    """The models whose ranking changes with what the gate sees, by their public names."""
    return [name for name in found.routes if found.routing.get(name, PLAIN).strategy in BY_STATISTICS]


def look_for(found: Directory, limits: LimitsAt, look: Look) -> Known:
    """What has to be known to rank all models; nobody is asked where no model needs it."""
    names = models_by_statistics(found)
    if not names:
        return NOTHING
    return look(tuple(dict.fromkeys(limit for name in names for place in found.routes[name] for limit in limits.at(place))))


def ranking(routing: Routing, places: Sequence[Place], limits: LimitsAt, known: Known) -> Ranking:
    """A model's deployments, the first asked first; places: in the order of preference."""
    candidates = [_candidate(number, place, routing, limits, known) for number, place in enumerate(places)]
    found = rank(routing.strategy, candidates, regions=routing.regions)
    if routing.strategy not in BY_STATISTICS:
        return found
    return dataclasses.replace(found, choices=tuple(_coarse(one) for one in found.choices))


def _coarse(choice: Choice) -> Choice:
    return choice if choice.weight < _FINE else dataclasses.replace(choice, weight=round(choice.weight, -1))


def _candidate(number: int, place: Place, routing: Routing, limits: LimitsAt, known: Known) -> Candidate:
    seen = known.statistics.get(str(place.id), _UNSEEN)
    uses = [known.uses[name] for name in limits.at(place) if name in known.uses]
    tokens = [max(0, one.amount - one.used) for one in uses if one.id in limits.of_tokens]
    return Candidate(
        id=str(place.id),
        position=number,
        weight=routing.weights.get(place.id, 1),
        region=place.target.region,
        after_ms=routing.after_ms.get(place.id, 0),
        input_pico=place.price.input_pico,
        output_pico=place.price.output_pico,
        in_use_permille=max((_permille(one) for one in uses), default=0),
        tokens_left=min(tokens, default=None),
        latency_ms=seen.latency_ms,
        failed_permille=seen.failed_permille,
        used_ago_ms=seen.used_ago_ms,
    )


def _permille(use: LimitUse) -> int:
    return min(1_000, use.used * 1_000 // use.amount) if use.amount > 0 else 1_000
