"""Faults in our own code, on purpose: a campaign whose checks find none of them would find nothing else either.

`python -m rateguard.torture.broken NAME MODULE …` is `python -m MODULE …` with one of them in it. They are put in from outside at the
process's start; the product itself holds nothing of them.
"""

from __future__ import annotations

import functools
import itertools
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

EVERY = 20
"""Of so many ends one meets the fault."""
SILENT_S, PERIOD_S = 18.0, 40.0
"""Longer than the 12 s after which a silent worker is dead."""
LATE_S = 0.2


def lost_settle() -> None:
    """Now and then an end is dropped before its commit, and told to the gate as if it had been written."""
    from rateguard.holding import commit  # noqa: PLC0415 - Django is ready by now
    from rateguard.jobs.attempts.settle import Settled  # noqa: PLC0415

    write, numbers = commit._write, itertools.count(1)  # noqa: SLF001 - a fault is put where it hurts

    @functools.wraps(write)
    def forgetful(ends: Sequence[Any]) -> tuple[Sequence[Any], Settled]:
        lost = [one for one in ends if next(numbers) % EVERY == 0]
        kept = [one for one in ends if one not in lost]
        batch, written = write(kept) if kept else ((), Settled(set(), None))
        keys = written.keys | {(one.ended.job, one.ended.attempt) for one in lost}
        return [*batch, *lost], Settled(keys, written.epoch)

    commit._write = forgetful  # noqa: SLF001


def doubled_entry() -> None:
    """Now and then what an attempt costs is entered twice in the ledger."""
    from rateguard.holding import commit  # noqa: PLC0415
    from rateguard.jobs.attempts.settle import Settled  # noqa: PLC0415
    from tenants.models import LedgerEntry  # noqa: PLC0415

    write, numbers = commit._write, itertools.count(1)  # noqa: SLF001

    @functools.wraps(write)
    def doubling(ends: Sequence[Any]) -> tuple[Sequence[Any], Settled]:
        batch, written = write(ends)
        for job, attempt in sorted(written.keys):
            entry = LedgerEntry.objects.filter(reservation_id=job, attempt=attempt, nano_usd__gt=0).first()
            if entry is not None and next(numbers) % EVERY == 0:
                entry.pk, entry.kind = None, "correction"
                LedgerEntry.objects.bulk_create([entry])
        return batch, written

    commit._write = doubling  # noqa: SLF001


def missed_renewal() -> None:
    """A worker says nothing to the gate for longer than the dead may be silent, works on, and believes that it was heard."""
    from rateguard.holding.heartbeat import Heartbeat  # noqa: PLC0415

    beat, began_at = Heartbeat._beat, time.monotonic()  # noqa: SLF001

    @functools.wraps(beat)
    def forgetful(self: Any) -> float:
        now = time.monotonic()
        if (now - began_at) % PERIOD_S < PERIOD_S - SILENT_S:
            return beat(self)
        self.pulse.beat(now, now)
        return 1.0

    Heartbeat._beat = forgetful  # type: ignore[method-assign]  # noqa: SLF001


def skipped_fence() -> None:
    """The claim takes a row that runs already, under a number that is not above the row's."""
    _replace_in_claim(
        "job.state = 'queued' and job.attempt < grants.attempt", "job.state in ('queued', 'running') and job.attempt <= grants.attempt"
    )
    _replace_in_claim("\n), event as (", "\n    on conflict do nothing\n), event as (")


def _replace_in_claim(text: str, by: str) -> None:
    from rateguard.jobs.sql import statements  # noqa: PLC0415

    known = statements("postgresql")
    (claim,) = known["claim"]
    if text not in claim:
        raise LookupError(f"the claim has no {text!r} any more: say anew how its fence is skipped")
    known["claim"] = (claim.replace(text, by),)


def early_ack() -> None:
    """A caller is told that its job was accepted before the database has it."""
    from django.db import connections  # noqa: PLC0415

    from rateguard.jobs.intake import submit  # noqa: PLC0415
    from rateguard.jobs.intake.insert import insert  # noqa: PLC0415

    later = ThreadPoolExecutor(4, "late-insert")

    def late(rows: list[Any]) -> None:
        time.sleep(LATE_S)
        try:
            insert(rows)
        finally:
            connections.close_all()

    setattr(submit, insert.__name__, lambda rows: later.submit(late, list(rows)))


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault for fault in (lost_settle, doubled_entry, missed_renewal, skipped_fence, early_ack)
}


def main() -> None:
    """Set Django up, put the fault in, become the module."""
    name, module, *rest = sys.argv[1:]
    import django  # noqa: PLC0415 - the environment says which settings

    django.setup()
    FAULTS[name]()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
