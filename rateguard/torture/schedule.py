"""The schedule: a pure function of a seed that says which fault strikes whom, when and for how long. Faults overlap."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from rateguard.torture.faults.contract import Kind
from rateguard.torture.faults.kinds import CUT_IN_COMMIT, KINDS
from rateguard.torture.options import DEFAULT_FAULTS
from rateguard.torture.site import SERVERS, WEBS, WORKERS

S_A_FAULT = 5.5
"""So many seconds of the span for each fault: lengths add up to about as much, so at most times one is under way, often two or three."""
FIRST_S = 3.0
GAP_S = 2.0
"""A target is left alone for so long between two faults."""
TAIL_S = 9.0
"""At the end of the span the only faults of workers are cuts in a commit: the process that met one must write the end itself."""
DEATH_S = 12.0
"""Two faults of one role that both last so long do not overlap: some process of each role is there."""
_TRIES = 400
_EXTENSION_S = 5.0
_A_PROVIDER_FAULT = 1 / 3
_ROLES = (WEBS, WORKERS)


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come. at_s: from the campaign's first fault on. chance: the seed of what else it draws."""

    number: int
    at_s: float
    kind: Kind
    target: str
    length_s: float
    chance: int

    @property
    def ends_s(self) -> float:
        """When it is to end."""
        return self.at_s + self.length_s


def least_faults() -> int:
    """One of each kind, at each role that it names; those that strike workers at work twice, and a cut at each worker at the end."""
    ours = [kind for kind in KINDS if not kind.is_provider]
    return len(ours) + sum(kind.wants_work and kind.targets == WORKERS for kind in ours) + 1


def plan(seed: int, faults: int = DEFAULT_FAULTS) -> list[Planned]:
    """So many faults of processes, servers and connections, in order of their beginning, and the provider's beside them.

    The same seed and number give the same plan. Fewer than `least_faults` are raised to it, so that no kind is left out.
    """
    chance = random.Random(f"torture {seed} {faults}")
    faults = max(faults, least_faults())
    span_s = faults * S_A_FAULT
    placed = _tail(chance, span_s)
    for kind, length_s in _drawn(chance, faults - len(placed)):
        span_s = _place(placed, kind, length_s, chance, span_s)
    for kind in _of_the_provider(chance, faults):
        placed.append(_planned(kind, chance.uniform(FIRST_S, span_s - TAIL_S), kind.targets[0], 0.0, chance))
    ordered = sorted(placed, key=lambda one: one.at_s)
    return [dataclasses.replace(one, number=number) for number, one in enumerate(ordered)]


def span_of(planned: Sequence[Planned]) -> float:
    """When the last fault is to end, s."""
    return max(one.ends_s for one in planned)


def _drawn(chance: random.Random, count: int) -> list[tuple[Kind, float]]:
    """One of each, then more by lot; the longest first, because they are the hardest to place."""
    ours = [kind for kind in KINDS if not kind.is_provider]
    needed = [kind for kind in ours if not (kind.name == CUT_IN_COMMIT and kind.targets == WORKERS)]
    needed += [kind for kind in ours if kind.wants_work and kind.targets == WORKERS]  # twice: how soon work goes on is measured
    kinds = needed + [chance.choice(ours) for _ in range(count - len(needed))]
    return sorted(((kind, chance.uniform(*kind.length_s)) for kind in kinds), key=lambda one: -one[1])


def _tail(chance: random.Random, span_s: float) -> list[Planned]:
    """A cut in a commit at each worker."""
    kind = next(kind for kind in KINDS if kind.name == CUT_IN_COMMIT and kind.targets == WORKERS)
    lengths = [chance.uniform(*kind.length_s) for _ in WORKERS]
    return [_planned(kind, span_s - length, worker, length, chance) for worker, length in zip(WORKERS, lengths, strict=True)]


def _of_the_provider(chance: random.Random, faults: int) -> list[Kind]:
    """Each kind of bad answer, and in a long campaign more of them by lot."""
    each = [kind for kind in KINDS if kind.is_provider]
    return each + [chance.choice(each) for _ in range(int(faults * _A_PROVIDER_FAULT) - len(each))]


def _place(placed: list[Planned], kind: Kind, length_s: float, chance: random.Random, span_s: float) -> float:
    """Put it where its target is free; returns the span, longer where there was no room. The tail moves with it."""
    for attempt in range(1, _TRIES + 1):
        latest = span_s - TAIL_S - length_s - GAP_S
        one = _planned(kind, chance.uniform(FIRST_S, max(FIRST_S, latest)), chance.choice(kind.targets), length_s, chance)
        if not any(_collide(one, other) for other in placed):
            placed.append(one)
            return span_s
        if attempt % (_TRIES // 8) == 0:
            span_s += _EXTENSION_S
            for number, other in enumerate(placed[: len(WORKERS)]):
                placed[number] = dataclasses.replace(other, at_s=other.at_s + _EXTENSION_S)
    raise ValueError(f"there is no room for {kind.name} in {span_s:g} s")


def _planned(kind: Kind, at_s: float, target: str, length_s: float, chance: random.Random) -> Planned:
    return Planned(0, round(at_s, 3), kind, target, round(length_s, 3), chance.randrange(2**32))


def _collide(one: Planned, other: Planned) -> bool:
    if one.at_s >= other.ends_s + GAP_S or other.at_s >= one.ends_s + GAP_S:
        return False
    if one.target == other.target:
        return True
    is_one_role = any(one.target in role and other.target in role for role in _ROLES)
    return min(one.length_s, other.length_s) >= DEATH_S if is_one_role else _finds_no_work(one, other) or _finds_no_work(other, one)


def _finds_no_work(worker: Planned, server: Planned) -> bool:
    """A worker is to be struck at work, and there is none while a server is frozen for long."""
    return worker.kind.wants_work and worker.target in WORKERS and server.target in SERVERS and server.length_s >= DEATH_S
