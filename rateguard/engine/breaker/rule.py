"""When a deployment is left alone, as values: the rule, the states, what an attempt says about its deployment."""

from __future__ import annotations

import dataclasses
import enum


class Verdict(enum.IntEnum):
    """What an attempt says about the health of its deployment. 429, other 4xx, a cancelled or unsent call say nothing: NONE."""

    NONE = 0
    SUCCESS = 1
    FAILURE = 2


class BreakerState(enum.IntEnum):
    """CLOSED: work flows. OPEN: none until a moment. HALF_OPEN: one probe at a time."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Forced(enum.IntEnum):
    """What a person has set: nothing, closed whatever happens, open until it is lifted."""

    NO = 0
    CLOSED = 1
    OPEN = 2


@dataclasses.dataclass(frozen=True, slots=True)
class BreakerRule:
    """The rule of a deployment.

    It opens when at least `failures` calls and `failure_permille` of all calls in `window_ms` failed, or when at least `failures` calls and
    `slow_permille` of all took `slow_ms` or longer (0: no call is slow). It stays open for `open_ms`; then one probe at a time goes
    through, and `probes` of them in a row must succeed.
    """

    failures: int = 5
    failure_permille: int = 500
    window_ms: int = 30_000
    open_ms: int = 30_000
    slow_ms: int = 0
    slow_permille: int = 500
    probes: int = 1
    forced: Forced = Forced.NO


DEFAULT_RULE = BreakerRule()
