"""What a limit is, as a value: the record that configuration writes and the gate keeps."""

from __future__ import annotations

import dataclasses
import enum


class Kind(enum.IntEnum):
    """How a limit counts. 2 is kept for the token bucket."""

    WINDOW = 1
    CONCURRENCY = 3
    BUDGET = 4


class Metric(enum.IntEnum):
    """What a limit counts of an attempt."""

    REQUESTS = 1
    TOKENS = 2
    INPUT_TOKENS = 3
    OUTPUT_TOKENS = 4
    CONCURRENCY = 5
    COST = 6
    PROVIDER_TOKENS = 7
    """What a provider counts at admission: input + max_tokens."""


class Level(enum.IntEnum):
    """Where in the waiting room a limit parks what it blocks.

    SHARED: nothing is parked, the model is closed for the call (account, deployment, global).
    TENANT: the tenant's node. LEAF: one path's node.
    """

    SHARED = 0
    TENANT = 1
    LEAF = 2


SLICES = 240
"""A window is a ring of this many slices; one more is live so that it is exact, and the guard's come on top."""

MAX_AMOUNT = 4_000_000_000
"""The largest amount of a window: a slice is an unsigned 32-bit number."""


@dataclasses.dataclass(frozen=True, slots=True)
class LimitRecord:
    """One limit as the gate keeps it.

    id: unique in the partition, e.g. "l17" or "b3". amount: requests, tokens, places, or nano-dollars for a budget.
    window_ms: length of a WINDOW, else 0. burst_permille: the share of the amount that may come at once; 1000 = no pacing.
    guard_ms: how long a request may take from the grant's report of sending to the place where it is counted.
    gives_back: whether the unused part of a reservation returns at the end (ours: yes; a provider's: what that provider does).
    """

    id: str
    kind: Kind
    metric: Metric
    amount: int
    level: Level
    window_ms: int = 0
    burst_permille: int = 1000
    guard_ms: int = 0
    gives_back: bool = True

    @property
    def slices(self) -> int:
        """Slices of the window; fewer where the window has fewer milliseconds."""
        return min(SLICES, self.window_ms)

    @property
    def ring(self) -> int:
        """Length of the ring: slices + 1 to be exact + the guard's."""
        return self.slices + 1 + -(-self.guard_ms * self.slices // self.window_ms)


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """What one attempt takes of each metric. Tokens; `cost` in nano-dollars."""

    input_tokens: int
    output_tokens: int
    max_output_tokens: int
    cost: int

    def of(self, metric: Metric) -> int:
        """The amount of one metric."""
        match metric:
            case Metric.REQUESTS | Metric.CONCURRENCY:
                return 1
            case Metric.TOKENS:
                return self.input_tokens + self.output_tokens
            case Metric.INPUT_TOKENS:
                return self.input_tokens
            case Metric.OUTPUT_TOKENS:
                return self.output_tokens
            case Metric.COST:
                return self.cost
            case Metric.PROVIDER_TOKENS:
                return self.input_tokens + self.max_output_tokens

    def of_share(self) -> int:
        """What tenants share by: the tokens that the provider counts."""
        return self.input_tokens + self.max_output_tokens
