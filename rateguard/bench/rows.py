"""`bench jobs --rows N`: whether each step of a job's path is as quick with N finished and N waiting rows as with few.

Two databases, each with a gate of its own: one with few rows, one with N that ended and N that wait (of 1,000 tenants, before a closed
limit). A process works on each; laps of both take turns, so that the ratio holds on a machine that does other things too. A lap submits
jobs one by one, admits, claims and settles them as a worker does, and does one round of what the caretaker does.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from rateguard.bench.history import add_jobs, add_parked, make_world
from rateguard.bench.report import Figures, Report, versions
from rateguard.bench.scene import body, django_on
from rateguard.bench.servers import POSTGRES, bench_valkey
from rateguard.embedded.postgres import start_postgres

FEW = 2_000
LAPS, WARM_UP = 30, 3
JOBS = 25
"""In a lap: as many as a message carries."""
AIM = 1.2
MODEL, ACCOUNT = "free", "free"
HOLDER = "bench"
GATE_MS = "10000"
"""A call to the gate may take its time: a million rows are many, and the machine may be busy."""

Times = dict[str, float]
"""Milliseconds of each step."""


def run(rows: int, *, is_quick: bool = False) -> Report:
    """Both sides by turns, and how much slower the large one is."""
    with start_side(min(FEW, rows)) as few, start_side(rows) as many:
        for side in (few, many) * WARM_UP:
            side()
        laps = [(few(), many()) for _ in range(5 if is_quick else LAPS)]
    found = {step: _compared([(small[step], large[step]) for small, large in laps]) for step in laps[0][0]}
    metrics = {
        "rows": rows,
        "rows_ratio": round(max(ratio for *_, ratio in found.values()), 2),
        "path_ratio": _of_path(found),
        **{f"{step}_ratio": round(ratio, 2) for step, (_, _, ratio) in found.items()},
        **{f"{step}_ms": round(large, 2) for step, (_, large, _) in found.items()},
    }
    table = [(step, round(small, 2), round(large, 2), round(ratio, 2)) for step, (small, large, ratio) in found.items()]
    columns = ("step", f"with {min(FEW, rows):,} and {min(FEW, rows):,}, ms", f"with {rows:,} finished and {rows:,} waiting, ms", "ratio")
    return Report("jobs", metrics, versions(), [Figures(f"Each step of {JOBS} jobs (aim: ratio ≤ {AIM})", columns, table)])


def _compared(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """The medians of both sides, and the median's ratio."""
    small, large = (statistics.median(side) for side in zip(*pairs, strict=True))
    return small, large, large / small


def _of_path(found: dict[str, tuple[float, float, float]]) -> float:
    """The same of all that a job itself goes through."""
    path = [found[step] for step in ("submit", "admit", "claim", "settle")]
    return round(sum(large for _, large, _ in path) / sum(small for small, _, _ in path), 2)


@contextlib.contextmanager
def start_side(rows: int) -> Iterator[Callable[[], Times]]:
    """Servers and a process with so many rows; what it yields runs a lap."""
    postgres = start_postgres(fsync=True, settings=POSTGRES)
    try:
        with bench_valkey() as valkey:
            environment = {"DATABASE_URL": postgres.create_database("bench"), "REDIS_URL": valkey.url, "RATEGUARD_LOG_LEVEL": "ERROR"}
            argv = [sys.executable, "-m", "rateguard.bench.rows", str(rows)]
            environment |= {"DJANGO_SETTINGS_MODULE": "rateguard.settings", "RATEGUARD_GATE_TIMEOUT_MS": GATE_MS}
            side = subprocess.Popen(argv, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                yield _asker(side)
            finally:
                side.kill()
                side.wait()
    finally:
        postgres.stop()


def _asker(side: subprocess.Popen[str]) -> Callable[[], Times]:
    asking, answering = side.stdin, side.stdout
    if asking is None or answering is None or answering.readline().strip() != "ready":
        raise RuntimeError("a side of the benchmark did not start; what it said stands above")

    def lap() -> Times:
        asking.write("lap\n")
        asking.flush()
        times: Times = json.loads(answering.readline())
        return times

    return lap


# ---- in the side's process


class Side:
    """One database and its gate. Nothing but laps grants: while none runs, no worker has a slot."""

    def __init__(self) -> None:
        from rateguard import wiring  # noqa: PLC0415 - Django is ready by now
        from tenants.models import Deployment, Tenant  # noqa: PLC0415 - as above

        self._gate = wiring.gate()
        self._tenant = Tenant.objects.get(name=ACCOUNT)
        self._deployment = Deployment.objects.get(name=MODEL)
        self._channel = uuid.uuid4().hex
        self._numbers = itertools.count(1)
        self._bodies = itertools.count()
        self._page: Any = None

    def lap(self) -> Times:
        """Each step, one after the other."""
        times: Times = {}
        self._path(times)
        self._upkeep(times)
        return times

    def _path(self, times: Times) -> None:
        from rateguard.jobs.attempts.claim import claim  # noqa: PLC0415 - Django is ready by now
        from rateguard.jobs.attempts.settle import settle  # noqa: PLC0415 - as above
        from rateguard.jobs.line.publisher import as_entry  # noqa: PLC0415 - as above

        with _timed(times, "submit"):
            self._submit()
        self._beat(slots=4 * JOBS)
        with _timed(times, "admit"):
            reply = self._step(want=JOBS)
        self._beat(slots=0)
        names = {self._deployment.pk: self._deployment.name}
        with _timed(times, "claim"):
            claimed = claim([as_entry(grant) for grant in reply.granted], reply.epoch, HOLDER, names)
        ends = [_end(one) for one in claimed]
        with _timed(times, "settle"):
            settle(ends)
        self._step(settle=ends)

    def _submit(self) -> None:
        from rateguard.engine.providers.base import Endpoint  # noqa: PLC0415 - Django is ready by now
        from rateguard.jobs.intake.submission import Submission  # noqa: PLC0415 - as above
        from rateguard.jobs.intake.submit import submit  # noqa: PLC0415 - as above
        from rateguard.jobs.line.pump import process_pump  # noqa: PLC0415 - as above

        for number in itertools.islice(self._bodies, JOBS):
            asked = {**body(number), "model": MODEL}
            submit(Submission(tenant=self._tenant, endpoint=Endpoint.CHAT, body=asked, user=f"user-{number % 50}"))
        process_pump().flush(10)

    def _beat(self, slots: int) -> None:
        from rateguard.engine.gate.contract import Holder  # noqa: PLC0415 - Django is ready by now
        from rateguard.engine.lanes import Lane  # noqa: PLC0415 - as above

        self._gate.beat(Holder(HOLDER, slots, tuple(Lane)))

    def _step(self, *, want: int = 0, settle: Any = ()) -> Any:
        from rateguard.engine.gate.contract import ReservationId, Settlement, Step  # noqa: PLC0415 - Django is ready by now

        ids = [(ReservationId(one.job, one.attempt), one.nano_usd) for one in settle]
        settlements = tuple(Settlement(one, used=True, input_tokens=10, output_tokens=10, cost=cost) for one, cost in ids)
        return self._gate.step(Step(self._channel, next(self._numbers), want=want, settle=settlements))

    def _upkeep(self, times: Times) -> None:
        """The caretaker's steps, on a line to the gate that carries nothing: what is enqueued there is known to it already."""
        from rateguard.jobs.ends import outbox  # noqa: PLC0415 - Django is ready by now
        from rateguard.jobs.line.publisher import Publisher  # noqa: PLC0415 - as above
        from rateguard.jobs.line.pump import Pump  # noqa: PLC0415 - as above
        from rateguard.jobs.upkeep import recover  # noqa: PLC0415 - as above
        from rateguard.jobs.upkeep.compare import compare  # noqa: PLC0415 - as above
        from rateguard.jobs.upkeep.hindrances import note_hindrances  # noqa: PLC0415 - as above
        from rateguard.jobs.upkeep.releasing import Releasing  # noqa: PLC0415 - as above
        from rateguard.jobs.upkeep.sweeping import page_after, queued_between  # noqa: PLC0415 - as above

        pump = Pump(self._gate, Publisher(), on_refused=lambda *_: None)  # never started
        counts, now = recover.Counts(), _now()
        self._make_due()
        with _timed(times, "release"):
            Releasing().release(pump)
        with _timed(times, "expire"):
            recover.expire(pump, counts)
        with _timed(times, "sweep_new"):
            pump.enqueue(queued_between(now - dt.timedelta(seconds=1), now))
        with _timed(times, "sweep_page"):
            page, self._page = page_after(self._page)
            pump.enqueue(page)
        with _timed(times, "reap"):
            recover.reap(self._gate, pump, counts)
        with _timed(times, "tell"):
            outbox.sweep()
        with _timed(times, "compare"):
            compare(self._gate, pump, counts)
        with _timed(times, "hindrances"):
            note_hindrances(self._gate)

    def _make_due(self) -> None:
        """What the last lap released is scheduled again: as many retries as a lap has jobs."""
        from django.db.models.functions import Now  # noqa: PLC0415 - Django is ready by now

        from rateguard.jobs.models import Job  # noqa: PLC0415 - as above

        due = Job.objects.filter(pk__in=_RETRIED)
        if not _RETRIED:
            rows = Job.objects.filter(tenant__name="tenant-0007", state="queued").order_by("queued_at")
            _RETRIED.extend(rows.values_list("pk", flat=True)[:JOBS])
        due.update(state="scheduled", run_at=Now())


_RETRIED: list[uuid.UUID] = []


def _end(claimed: Any) -> Any:
    from rateguard.engine.money import Usage  # noqa: PLC0415 - Django is ready by now
    from rateguard.jobs.attempts.settle import Ended  # noqa: PLC0415 - as above
    from rateguard.jobs.states import SUCCEED, AttemptState  # noqa: PLC0415 - as above

    return Ended(
        job=claimed.job,
        attempt=claimed.attempt,
        state=AttemptState.SUCCEEDED,
        transition=SUCCEED,
        usage=Usage(input_tokens=10, output_tokens=10),
        nano_usd=7_500,
        result='{"choices": []}',
        latency_ms=5,
        queue_ms=5,
    )


@contextlib.contextmanager
def _timed(times: Times, step: str) -> Iterator[None]:
    began_at = time.perf_counter()
    yield
    times[step] = (time.perf_counter() - began_at) * 1000


def prepare(rows: int) -> None:
    """The world, so many rows that ended, so many that wait, and the gate built from them."""
    from rateguard import wiring  # noqa: PLC0415 - Django is ready by now
    from rateguard.jobs.upkeep.rebuild import rebuild  # noqa: PLC0415 - as above
    from tenants import models  # noqa: PLC0415 - as above

    make_world()
    models.Limit.objects.update(amount=1, window_ms=86_400_000)  # what waits, waits on
    tenant = models.Tenant.objects.create(name=ACCOUNT)
    scope = models.Scope.objects.create(kind="tenant", tenant=tenant)
    models.Budget.objects.create(scope=scope, amount=10**15)
    account = models.ProviderAccount.objects.create(name=ACCOUNT, provider="sim", base_url="http://127.0.0.1:9/v1", credentials="sk-bench")
    models.Limit.objects.create(account=account, metric="requests", kind="window", amount=10_000_000, window_ms=60_000)
    deployment = models.Deployment.objects.create(account=account, name=MODEL, upstream_model=MODEL)
    models.RouteTarget.objects.create(route=models.ModelRoute.objects.create(name=MODEL), deployment=deployment)
    models.Price.objects.create(provider="sim", model=MODEL, valid_from="2020-01-01T00:00Z", input_pico=150_000, output_pico=600_000)
    add_parked(rows)
    add_jobs(1, rows)
    rebuild(wiring.gate())


def main(rows: int) -> None:
    """Prepare, say so, and run a lap for each line."""
    with django_on({}):
        prepare(rows)
        side = Side()
        print("ready", flush=True)
        for _ in sys.stdin:
            print(json.dumps(side.lap()), flush=True)


def _now() -> Any:
    from rateguard.jobs.clock import database_now  # noqa: PLC0415 - Django is ready by now

    return database_now()


if __name__ == "__main__":
    main(int(sys.argv[1]))
