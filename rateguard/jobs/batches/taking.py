"""Take a batch: every line is checked as a single job is, then all come in by one transaction, or none.

The content is read once, as a stream. Of its rows CHUNK are objects at a time; what is checked waits as bytes (see `spool`), so that the
transaction is short: it begins when the last line was read, and what dies before its commit has written nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Iterable, Iterator
from typing import Self

from django.db import IntegrityError, router, transaction

from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest, LimitInTheWay
from rateguard.engine.gate.contract import Waiting
from rateguard.jobs.attempts import inplace
from rateguard.jobs.batches.asked import MOST_ID_CHARS, MOST_MESSAGE_CHARS, MOST_TOLD, Content, LineFault, LinesRefused, NewBatch, Reader
from rateguard.jobs.batches.closing import close_if_done
from rateguard.jobs.batches.copying import CHUNK, kept, stored
from rateguard.jobs.batches.spool import Spool
from rateguard.jobs.ids import new_id
from rateguard.jobs.intake.affordable import check_budgets
from rateguard.jobs.intake.building import build
from rateguard.jobs.intake.checking import check
from rateguard.jobs.intake.fallback import with_fallbacks
from rateguard.jobs.intake.hearing import tells_of
from rateguard.jobs.intake.queue_bound import check_place, take_places
from rateguard.jobs.line.pump import MOST_HINTS, process_pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.lineage import Lineage
from rateguard.jobs.models import Batch, BatchError, Job
from rateguard.jobs.states import State


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """The batch, and whether this call made it (False: an earlier one with the same idempotency key did)."""

    batch: Batch
    is_new: bool


def take_batch(asked: NewBatch, content: Content, reader: Reader) -> Taken:
    """Take all of it, or nothing. In a transaction it is submitted when that commits.

    Raises LinesRefused; InvalidRequest: `empty_batch`, `too_many_lines`, `idempotency_mismatch`, what the content raises; LimitInTheWay:
    `queue_full`, `budget_exhausted`, for all of it.
    """
    tells = tells_of(asked.tenant, asked.webhook, pointer="/webhook")
    if (twin := _twin_of(asked)) is not None:
        for _ in content.lines():
            pass
        return _again(twin, content)
    check_place(asked.tenant)
    with _Reading(asked, reader) as reading:
        reading.read(content.lines())
        batch = reading.batch
        batch.tells, batch.request_hash = tells, content.digest()
        try:
            _store(reading)
        except IntegrityError:
            if (twin := _twin_of(asked)) is None:
                raise
            return _again(twin, content)
    return Taken(batch, is_new=True)


def _twin_of(asked: NewBatch) -> Batch | None:
    """The batch of the same key, however old: a batch is many jobs, and nobody wants them twice."""
    if asked.idempotency_key is None:
        return None
    return Batch.objects.filter(tenant=asked.tenant, idempotency_key=asked.idempotency_key).first()


def _again(twin: Batch, content: Content) -> Taken:
    if twin.request_hash != content.digest():
        raise InvalidRequest(
            "this Idempotency-Key came with another batch before: use a new key for a new batch", code="idempotency_mismatch"
        )
    return Taken(twin, is_new=False)


# ---- reading


class _Reading:
    """What was read of a batch so far. hints: for the gate, as many as it is told at once; the sweeper brings in the rest."""

    def __init__(self, asked: NewBatch, reader: Reader) -> None:
        self._asked = asked
        self._reader = reader
        self._known: dict[tuple[uuid.UUID | None, int], Lineage] = {}
        self._ids: set[str] = set()
        self.using = router.db_for_write(Job)
        self.batch = _row_of(asked)
        self.rows = Spool()
        self.faults: list[LineFault] = []
        self.hints: list[Waiting] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.rows.__exit__()

    def read(self, lines: Iterable[bytes | None]) -> None:
        """Check every line. Raises LinesRefused, InvalidRequest, LimitInTheWay."""
        numbered = ((number, raw) for number, raw in enumerate(lines, 1) if raw is None or raw.strip())
        bounded = self._bounded(numbered)
        while chunk := list(itertools.islice(bounded, CHUNK)):
            self._take([row for row in itertools.starmap(self._row_of, chunk) if row is not None])
        if self.faults and not self._asked.is_skipping:
            raise LinesRefused(self.faults[:MOST_TOLD], self.batch.rejected)
        if not self.batch.total and not self.batch.rejected:
            raise InvalidRequest("the batch has no line: send at least one job", code="empty_batch")

    def _bounded(self, lines: Iterator[tuple[int, bytes | None]]) -> Iterator[tuple[int, bytes | None]]:
        most = conf().batch_lines
        for count, line in enumerate(lines, 1):
            if count > most:
                raise InvalidRequest(f"a batch has at most {most:,} lines: send it in several", code="too_many_lines")
            yield line

    def _row_of(self, number: int, raw: bytes | None) -> Job | None:
        """None: the line is at fault."""
        if raw is None:
            self._note(LineFault(number, "", "body_too_large", "the line has more bytes than a job may have"))
            return None
        try:
            submission = self._reader.read(raw, self.batch.pk, number)
            check(submission)
            self._check_id(submission.custom_id)
            return build(submission, self._known)
        except LimitInTheWay:
            raise
        except InvalidRequest as refusal:
            custom_id, pointer = self._reader.place_of(raw, refusal.pointer)
            self._note(LineFault(number, custom_id, refusal.code, str(refusal)[:MOST_MESSAGE_CHARS], pointer[:MOST_ID_CHARS]))
            return None

    def _check_id(self, custom_id: str) -> None:
        if custom_id and custom_id in self._ids:
            raise InvalidRequest("another line before has this custom_id", code="duplicate_custom_id", pointer="/custom_id")
        self._ids.add(custom_id)

    def _note(self, fault: LineFault) -> None:
        self.batch.rejected += 1
        if self._asked.is_skipping or len(self.faults) < MOST_TOLD:
            self.faults.append(fault)

    def _take(self, rows: list[Job]) -> None:
        """Of a batch that is refused anyway nothing is kept any more."""
        if not rows or (self.faults and not self._asked.is_skipping):
            return
        check_budgets(rows)
        self.batch.total += len(rows)
        room = MOST_HINTS - len(self.hints)
        self.hints += [waiting_of(row) for row in rows[:room] if row.state == State.QUEUED]
        self.rows.add(kept(rows, self.using))


def _row_of(asked: NewBatch) -> Batch:
    return Batch(
        id=new_id(),
        tenant=asked.tenant,
        name=asked.name,
        metadata=asked.metadata,
        total=0,
        webhook=asked.webhook,
        api_key_id=asked.api_key_id,
        request_id=asked.request_id,
        via=asked.via,
        idempotency_key=asked.idempotency_key,
    )


# ---- writing


def _store(reading: _Reading) -> None:
    batch, using = reading.batch, reading.using
    here = inplace.caller()
    take_places(itertools.repeat(Job(tenant=batch.tenant), batch.total))
    with transaction.atomic(using):
        batch.save(force_insert=True, using=using)
        for chunk in reading.rows:
            if chunk is not None:
                stored(chunk, using)
        BatchError.objects.using(using).bulk_create((_error(batch, fault) for fault in reading.faults), batch_size=CHUNK)
        if here is None and reading.hints:
            transaction.on_commit(lambda: process_pump().enqueue(reading.hints), using=using, robust=True)
    batch.refresh_from_db()
    if here is not None:
        for page in _pages_of(batch):
            inplace.run_here(page, here, with_fallbacks)
    if here is not None or not batch.total:
        close_if_done(batch)


def _error(batch: Batch, fault: LineFault) -> BatchError:
    return BatchError(batch=batch, **dataclasses.asdict(fault))


def _pages_of(batch: Batch) -> Iterator[list[Job]]:
    after = 0
    while page := list(Job.objects.filter(batch=batch, line__gt=after).order_by("line").only("pk", "line")[:CHUNK]):
        after = page[-1].line or 0
        yield page
