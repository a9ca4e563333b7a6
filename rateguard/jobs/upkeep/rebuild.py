"""Rebuild the gate from the rows after it lost its data: limits with windows, budgets, reservations of running rows, waiting rows.

The epoch's row stays locked meanwhile: a claim either committed before it was raised, and is counted, or takes nothing.
What ran is charged at the latest moment at which the provider can have counted it, so no window is ever exceeded.
"""

from __future__ import annotations

import itertools
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import transaction

from rateguard import wiring
from rateguard.engine.gate.contract import Gate
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
    with transaction.atomic():
        epoch = GateEpoch.increase()
        if gate.epoch() == epoch - 1 and epoch > 1:
            transaction.set_rollback(True)
            return
        gate.clear()
        configuration = wiring.whole_configuration()
        gate.configure(configuration)
        gate.restore(tuple(charges(configuration)), tuple(running_attempts()), ())
        waiting = _restore_waiting(gate)
    gate.open(epoch)
    logger.warning("gate rebuilt at epoch %d: %d jobs wait, %.2f s", epoch, waiting, time.monotonic() - began_at)


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
