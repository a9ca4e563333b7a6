"""What the checks look at: rows, the provider's log, the gate's counts and the record, as values. Whoever has these needs no server.

Every `…_at` is a moment of the campaign's clock, `time.monotonic()` seconds; the database's times were led there by `Record.at`.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence

from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.log_file import Written
from rateguard.torture.record import Fault, Record

Key = tuple[uuid.UUID, int]
"""An attempt: its job and its number."""


@dataclasses.dataclass(frozen=True, slots=True)
class JobSeen:
    """A job's row."""

    id: uuid.UUID
    state: str
    tenant: str
    model: str = ""
    delivery: str = "at_least_once"
    lane: int = 0
    team: str = ""
    user: str = ""
    run: uuid.UUID | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class AttemptSeen:
    """An attempt's row. ended_at: None while it is open."""

    job: uuid.UUID
    number: int
    state: str
    holder: str
    began_at: float
    ended_at: float | None
    deployment: str = ""
    reserved_nano_usd: int = 0
    error_code: str = ""

    @property
    def key(self) -> Key:
        """As the log and the ledger name it."""
        return (self.job, self.number)


@dataclasses.dataclass(frozen=True, slots=True)
class EventSeen:
    """One event of a job. id: its place in the order in which they were written."""

    id: int
    job: uuid.UUID
    kind: str
    attempt: int
    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class EntrySeen:
    """One line of the ledger."""

    job: uuid.UUID
    attempt: int
    kind: str
    nano_usd: int
    at: float
    tenant: str = ""
    is_estimated: bool = False
    is_overrun: bool = False
    quarter: tuple[object, ...] = ()
    days: tuple[tuple[object, ...], ...] = ()

    @property
    def key(self) -> Key:
        """The attempt that it is about."""
        return (self.job, self.attempt)


@dataclasses.dataclass(frozen=True, slots=True)
class BudgetSeen:
    """A budget in all, and whose: a tenant's, or a run's where `run` is set."""

    name: str
    amount: int
    tenant: str
    run: uuid.UUID | None = None

    def pays(self, job: JobSeen) -> bool:
        """Whether the job is charged to it."""
        return job.tenant == self.tenant and self.run in {None, job.run}


@dataclasses.dataclass(frozen=True, slots=True)
class MessageSeen:
    """A webhook message as its receiver saw it. trouble: what is wrong with its signature, "" for nothing."""

    id: str
    job: uuid.UUID | None
    kind: str
    trouble: str
    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class StreamSeen:
    """What a reader of a job's events was told: its ends, the text of the pieces that count; and the text that the row keeps."""

    job: uuid.UUID
    ends: Sequence[str]
    text: str
    kept: str


@dataclasses.dataclass(slots=True)
class Evidence:
    """Everything. jobs: by id; attempts: by key; events: of each job, in order. limits: what the provider keeps, by an account's key.

    own_limits: requests that a tenant's team may send. quarters, days: money by the rollups' keys, as the rollups have it. told: states
    of jobs as the API tells them. held, waiting: reservations and waiting jobs that the gate has, after all is done; waiting_jobs: some of
    their places.
    """

    record: Record
    faults: Sequence[Fault] = ()
    log: Sequence[Written] = ()
    jobs: Mapping[uuid.UUID, JobSeen] = dataclasses.field(default_factory=dict)
    attempts: Mapping[Key, AttemptSeen] = dataclasses.field(default_factory=dict)
    events: Mapping[uuid.UUID, Sequence[EventSeen]] = dataclasses.field(default_factory=dict)
    entries: Sequence[EntrySeen] = ()
    budgets: Sequence[BudgetSeen] = ()
    limits: Mapping[str, Sequence[LimitRule]] = dataclasses.field(default_factory=dict)
    own_limits: Mapping[tuple[str, str], LimitRule] = dataclasses.field(default_factory=dict)
    quarters: Mapping[tuple[object, ...], int] = dataclasses.field(default_factory=dict)
    days: Mapping[tuple[object, ...], int] = dataclasses.field(default_factory=dict)
    told: Mapping[uuid.UUID, str] = dataclasses.field(default_factory=dict)
    held: Sequence[str] = ()
    waiting: int = 0
    waiting_jobs: Sequence[str] = ()
    rolled_back: Sequence[uuid.UUID] = ()
    messages: Sequence[MessageSeen] = ()
    streams: Sequence[StreamSeen] = ()


@dataclasses.dataclass(slots=True)
class Found:
    """What a check found: its figure (None: nothing to measure), and a line for each thing behind it."""

    value: float | None = 0
    lines: list[str] = dataclasses.field(default_factory=list)

    def add(self, line: str, count: int = 1) -> None:
        """One thing more that should not be."""
        self.value = (self.value or 0) + count
        self.lines.append(line)
