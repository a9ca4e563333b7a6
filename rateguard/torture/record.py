"""What the parts of a campaign tell each other: faults, what was promised, what was asked, which processes lived, and what was found.

Times named `*_at` are `time.monotonic()` of the campaign's own process, in seconds; `Record.wall` leads from them to the wall clock.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was. ended_at: when what it struck answered again; None while it lasts.

    target: the process that it struck, `web-1`, `web-2`, `worker-1`, `worker-2`, `valkey`, `postgres`, or `provider`.
    """

    kind: str
    target: str
    began_at: float
    ended_at: float | None
    is_provider: bool = False
    detail: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """What a 202, a committed `.delay()` or a batch's answer promised. line: a batch's custom_id."""

    job: uuid.UUID
    at: float
    door: str
    delivery: str
    has_webhook: bool
    line: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One request to a door, answered or not. status: 0 where no answer came. took_s: until the answer's last byte, or until it broke."""

    door: str
    at: float
    took_s: float
    status: int
    address: str = ""


@dataclasses.dataclass(slots=True)
class Life:
    """One life of a process: from its start to its end, None while it lives. A holder's id carries its pid."""

    process: str
    pid: int
    began_at: float
    ended_at: float | None = None


@dataclasses.dataclass(slots=True)
class Record:
    """What happened in a campaign, added to from several threads: each `append` is one step of the interpreter."""

    seed: int
    began_at: float = dataclasses.field(default_factory=time.monotonic)
    began_wall: float = dataclasses.field(default_factory=time.time)
    accepted: list[Accepted] = dataclasses.field(default_factory=list)
    asked: list[Asked] = dataclasses.field(default_factory=list)
    lives: list[Life] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    _faults: dict[int, Fault] = dataclasses.field(default_factory=dict)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def faults(self) -> list[Fault]:
        """All faults, in the order in which they began."""
        with self._lock:
            return sorted(self._faults.values(), key=lambda fault: fault.began_at)

    def put(self, number: int, fault: Fault) -> None:
        """A fault that begins, or the same one once it has ended. number: its place in the schedule."""
        with self._lock:
            self._faults[number] = fault

    def since(self, at: float) -> str:
        """A moment as people read it: seconds since the campaign began."""
        return f"{at - self.began_at:6.1f} s"

    def wall(self, at: float) -> float:
        """The wall clock, seconds since 1970, at a moment of the campaign's."""
        return self.began_wall + (at - self.began_at)

    def at(self, wall: float) -> float:
        """The moment of the campaign's at a wall clock of so many seconds since 1970."""
        return self.began_at + (wall - self.began_wall)


def _zero(value: float | None) -> bool:
    return value == 0


def _at_most(most: float) -> Callable[[float | None], bool]:
    return lambda value: value is not None and value <= most


@dataclasses.dataclass(frozen=True, slots=True)
class Promise:
    """A figure that is promised: its key, what it is in words, its aim in words, and whether a value meets it."""

    key: str
    about: str
    aim: str
    is_met: Callable[[float | None], bool]


RESTART_S, ACCEPT_S, DATABASE_GONE_S = 16.0, 1.0, 2.0
PROMISES = (
    Promise("unfinished", "accepted jobs without an end", "0", _zero),
    Promise("foreign_duplicates", "calls at the provider that nothing allows", "0", _zero),
    Promise("ledger_difference_nano_usd", "our ledger less the provider's bill, nano-dollars", "0", _zero),
    Promise("rollup_difference", "ledger less rollups, nano-dollars", "0", _zero),
    Promise("state_gaps", "events that skip a state", "0", _zero),
    Promise("budget_overdrafts", "moments at which a budget was overdrawn", "0", _zero),
    Promise("window_violations", "windows exceeded where requests arrive", "0", _zero),
    Promise("reservations_left", "reservations left at the end", "0", _zero),
    Promise("webhooks_missing", "webhooks missing or wrongly signed", "0", _zero),
    Promise("restart_p99_s", "from the death of a worker to the next grant of its work, p99", "≤ 16 s", _at_most(RESTART_S)),
    Promise("accept_p99_frozen_s", "POST jobs while Redis is frozen or gone, p99", "≤ 1 s", _at_most(ACCEPT_S)),
    Promise("db_gone_s", "the longest answer while PostgreSQL is gone", "≤ 2 s", _at_most(DATABASE_GONE_S)),
)
"""What is promised, in the order of the table. A figure that could not be measured is None: a time then counts as not met."""


@dataclasses.dataclass(slots=True)
class Findings:
    """The figures of a campaign: the keys of `--json`. None: nothing was there to measure. details: what stands behind a figure."""

    jobs: int = 0
    faults: int = 0
    provider_faults: int = 0
    fault_kinds: list[str] = dataclasses.field(default_factory=list)
    seed: int = 0
    estimated_entries: int = 0
    corrections: int = 0
    unfinished: int = 0
    foreign_duplicates: int = 0
    ledger_difference_nano_usd: int = 0
    rollup_difference: int = 0
    state_gaps: int = 0
    budget_overdrafts: int = 0
    window_violations: int = 0
    reservations_left: int = 0
    webhooks_missing: int = 0
    restart_p99_s: float | None = None
    accept_p99_frozen_s: float | None = None
    db_gone_s: float | None = None
    details: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def unmet(self) -> list[Promise]:
        """The promises that were not kept."""
        return [promise for promise in PROMISES if not promise.is_met(getattr(self, promise.key))]

    def as_json(self) -> dict[str, object]:
        """The keys of `--json`: figures only."""
        found = dataclasses.asdict(self)
        del found["details"]
        return found
