"""What a limit is, as a value: the record that configuration writes and the gate keeps."""

from __future__ import annotations

import dataclasses
import enum

from rateguard.engine.lanes import Lane


class Kind(enum.IntEnum):
    """How a limit counts.

    WINDOW: at most the amount in any window. BUCKET: refilled without a break, a burst at once. CONCURRENCY: at the same time.
    BUDGET: in all, or in all since its period began. PAUSE: nothing passes until a moment (the amount, ms), or until it is lifted (0).
    """

    WINDOW = 1
    BUCKET = 2
    CONCURRENCY = 3
    BUDGET = 4
    PAUSE = 5


class Metric(enum.IntEnum):
    """What a limit counts of an attempt, at its grant. At its end what was used counts: see LimitRecord.used_by."""

    REQUESTS = 1
    TOKENS = 2
    INPUT_TOKENS = 3
    OUTPUT_TOKENS = 4
    CONCURRENCY = 5
    COST = 6
    PROVIDER_TOKENS = 7
    """Input + max_tokens: what a provider counts at admission, and what a budget of tokens reserves."""


class Level(enum.IntEnum):
    """Where in the waiting room a limit parks what it blocks.

    SHARED: nothing is parked, the model is closed for the call (account, deployment, global).
    TENANT: the tenant's node. LEAF: one path's node.
    """

    SHARED = 0
    TENANT = 1
    LEAF = 2


class Exhausted(enum.IntEnum):
    """What a budget does with work that it can no longer pay.

    REJECT: the job ends. HOLD: it waits for the next period, or for more money. DOWNGRADE: it is given back to go to a cheaper model.
    """

    REJECT = 0
    HOLD = 1
    DOWNGRADE = 2


SLICES = 240
"""A window is a ring of this many slices; one more is live so that it is exact, and the guard's come on top."""

MAX_AMOUNT = 4_000_000_000
"""The largest amount of a window: a slice is an unsigned 32-bit number."""


@dataclasses.dataclass(frozen=True, slots=True)
class LimitRecord:
    """One limit as the gate keeps it.

    id: unique in the partition, without `@`, e.g. "l17" or "b3". A default for every node of a kind is a record too; the limit that
    a node has by it is known as `<id>@<node>`. amount: requests, tokens, places; nano-dollars for a budget of money.
    window_ms: length of a WINDOW or BUCKET, else 0. burst_permille: the share of the amount that may come at once; 1000 = all of it.
    guard_ms: how long a request may take from the grant's report of sending to the place where it is counted.
    gives_back: whether the unused part of a reservation returns at the end (ours: yes; a provider's: what that provider does).
    counts_cached: whether input that was read from a cache counts in the end. output_permille: what a token of output counts in the end,
    in thousandths of a token.
    learns_from: of a limit that nobody knows, what it starts from (see learning); 0: it is known. learns_floor: it never
    goes below that.
    reserve_permille: the share that is kept for `reserve_lane` and the lanes above it.
    on_exhausted, periods, thresholds: of a BUDGET. periods: when it begins anew, ms, ascending, known ahead for a while.
    thresholds: per cent of the amount, ascending, at which a notice is given once a period.
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
    counts_cached: bool = True
    output_permille: int = 1000
    learns_from: int = 0
    learns_floor: int = 1
    reserve_permille: int = 0
    reserve_lane: int = 0
    on_exhausted: Exhausted = Exhausted.REJECT
    periods: tuple[int, ...] = ()
    thresholds: tuple[int, ...] = ()

    @property
    def slices(self) -> int:
        """Slices of the window; fewer where the window has fewer milliseconds."""
        return min(SLICES, self.window_ms)

    @property
    def ring(self) -> int:
        """Length of the ring of a WINDOW: slices + 1 to be exact + the guard's; else 0."""
        if self.kind != Kind.WINDOW:
            return 0
        return self.slices + 1 + -(-self.guard_ms * self.slices // self.window_ms)

    @property
    def is_settled(self) -> bool:
        """Whether an attempt's end changes nothing: a request is a request, where nothing is to be learned from it."""
        return self.metric == Metric.REQUESTS and self.kind in (Kind.WINDOW, Kind.BUCKET) and not self.learns_from

    def amount_for(self, lane: Lane, amount: int | None = None) -> int:
        """What a lane may use of the amount (the limit's, where none is given); for a BUCKET, of its capacity."""
        whole = self.amount if amount is None else amount
        most = whole * self.burst_permille // 1000 if self.kind == Kind.BUCKET else whole
        return most if lane <= self.reserve_lane else most - most * self.reserve_permille // 1000

    def used_by(self, spent: Spent) -> int:
        """What an attempt counts in the end, by its figures."""
        inputs = spent.input_tokens - (0 if self.counts_cached else spent.cached_tokens)
        output = -(-spent.output_tokens * self.output_permille // 1000)
        most = -(-spent.max_output_tokens * self.output_permille // 1000)
        return Need(inputs, output, most, spent.cost).of(self.metric)

    def period_began_ms(self, now_ms: int) -> int:
        """When the current period of a budget began; 0 where it has none."""
        return max((start for start in self.periods if start <= now_ms), default=0)

    def next_period_ms(self, now_ms: int) -> int | None:
        """When a budget begins anew; None: not by itself, as far as is known."""
        return min((start for start in self.periods if start > now_ms), default=None)

    def parks_as(self, other: LimitRecord) -> bool:
        """Whether what is parked under it stands where it would under another record: by node or by job, at the same rest of a budget."""
        if Kind.BUDGET not in (self.kind, other.kind):
            return True
        kept = all(self.amount - self.amount_for(lane) == other.amount - other.amount_for(lane) for lane in Lane)
        return self.kind == other.kind and kept


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """What an attempt used in the end. cached_tokens: part of input_tokens. max_output_tokens: what counts where it all stays."""

    input_tokens: int
    output_tokens: int
    max_output_tokens: int
    cost: int
    cached_tokens: int = 0


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
