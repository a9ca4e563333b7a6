"""Rebuild the gate from the rows after it lost its data: limits with windows, budgets, reservations of running rows, waiting rows.

The epoch's row stays locked meanwhile: a claim either committed before it was raised, and is counted, or takes nothing.
What ran is charged at the latest moment at which the provider can have counted it, so no window is ever exceeded.
"""

from __future__ import annotations

import itertools
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import connection, transaction

from rateguard import wiring
from rateguard.engine.gate.contract import Charge, Configuration, Gate, Running
from rateguard.jobs.line.waiting import WAITING_COLUMNS, running_attempts, waiting_from
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from rateguard.jobs.upkeep.charged import charges
from tenants.models import GateEpoch

logger = logging.getLogger(__name__)

PAGE = 5_000


def is_lost(gate: Gate) -> bool:
    """Whether the gate is empty, foreign, or of an older epoch than the rows'."""
    epoch = gate.epoch()
    return epoch is None or epoch != GateEpoch.current()


def rebuild(gate: Gate) -> None:
    """Bring the gate back from the rows. Whoever comes second finds it done."""
    began_at = time.monotonic()
    is_within = connection.in_atomic_block
    with transaction.atomic():
        epoch = GateEpoch.increase()
        if gate.epoch() == epoch - 1 and epoch > 1:
            transaction.set_rollback(True)
            return
        gate.clear()
        configuration = wiring.whole_configuration()
        gate.configure(configuration)
        gate.restore(*_read(configuration, is_within), ())
        waiting = _restore_waiting(gate)
    gate.open(epoch)
    logger.warning("gate rebuilt at epoch %d: %d jobs wait, %.2f s", epoch, waiting, time.monotonic() - began_at)


_Rows = tuple[tuple[Charge, ...], tuple[Running, ...]]


def _read(configuration: Configuration, is_within: bool) -> _Rows:
    """What counts and what runs, each attempt once.

    PostgreSQL shows each statement the rows as they are by then, and calls go on ending meanwhile: what ended between two statements
    would be counted by neither. So they are read on a connection of its own, where all statements see one moment, after the epoch was
    raised. SQLite lets nobody else write now; nor has whoever rebuilds within a transaction of his own another connection to look from.
    """
    if connection.vendor == "sqlite" or is_within:
        return _rows(configuration)
    with ThreadPoolExecutor(1, "rateguard-rebuild-rows") as reader:
        return reader.submit(_at_one_moment, configuration).result()


def _at_one_moment(configuration: Configuration) -> _Rows:
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read, read only")
            return _rows(configuration)
    finally:
        connection.close()


def _rows(configuration: Configuration) -> _Rows:
    return tuple(charges(configuration)), tuple(running_attempts())


def _restore_waiting(gate: Gate) -> int:
    """While the gate takes one page in, the next one is read. Returns how many wait."""
    rows = Job.objects.filter(state=State.QUEUED).order_by("queued_at", "pk").values_list(*WAITING_COLUMNS)
    waiting = itertools.starmap(waiting_from, rows.iterator(chunk_size=PAGE))
    count = 0
    with ThreadPoolExecutor(1, "rateguard-rebuild") as sender:
        sent: Future[None] | None = None
        while page := tuple(itertools.islice(waiting, PAGE)):
            if sent is not None:
                sent.result()
            sent = sender.submit(gate.restore, (), (), page)
            count += len(page)
        if sent is not None:
            sent.result()
    return count
