"""Old and new processes side by side for one release: the tables change under their load, forward and back, and nobody fails or waits.

The old ones are the statements of the release before (old_release.sql), the new ones those of today. Both work on the same jobs.
"""

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import orjson
import psycopg
import pytest

from rateguard.embedded.postgres import start_postgres
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import Ended, _row
from rateguard.jobs.intake.insert import _statement
from rateguard.jobs.models import Job
from rateguard.jobs.sql import statements
from rateguard.jobs.states import SUCCEED, AttemptState

pytestmark = [pytest.mark.long, pytest.mark.needs("postgres"), pytest.mark.timeout(300)]

PROJECT = Path(__file__).parent.parent.parent
OLD_RELEASE = (("rateguard_jobs", "0005"), ("rateguard_tenants", "0022"))
HISTORY = 30_000
WRITERS = 3
NANO_USD = 750


@pytest.fixture(scope="module")
def server():
    started = start_postgres()
    yield started
    started.stop()


def migrate(url, *target):
    """`manage.py migrate` in a process of its own; it must go well."""
    environment = {**os.environ, "DATABASE_URL": url}
    argv = [sys.executable, "manage.py", "migrate", "--verbosity", "0", *target]
    done = subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]


def old_statements():
    text = (Path(__file__).parent / "old_release.sql").read_text(encoding="utf-8")
    pieces = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def new_statements():
    found = {name: parts[0] for name, parts in statements("postgresql").items()}
    return {**found, "insert": _statement()[0]}


def new_row():
    """A job as the intake makes it; the database gives the times."""
    job = Job(
        tenant_id=1,
        model="m",
        endpoint="chat",
        state="queued",
        request="{}",
        path="1",
        input_tokens=1,
        output_tokens=1,
        max_output_tokens=1,
        timeout_s=60,
        max_tries=3,
        labels={"feature": "chat"},
        user="ann",
    )
    values = {column: getattr(job, name) for column, name in _statement()[1]}
    now = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime())
    return {**values, "submitted_at": now, "queued_at": now, "canvas": None}


class Writers:
    """Threads that submit, claim and settle one job after the other by these statements. They wait for no lock longer than a second."""

    def __init__(self, url, told, jobs):
        self.errors, self.done = [], 0
        self._url, self._told, self._jobs = url, told, jobs
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[number]) for number in range(WRITERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def make_progress(self, count=30):
        """Until so many more jobs are done, or one of them failed."""
        target, deadline = self.done + count, time.monotonic() + 60
        while self.done < target and not self.errors and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not self.errors, self.errors
        assert self.done >= target

    def _run(self, number):
        with psycopg.connect(self._url, autocommit=True, options="-c lock_timeout=1s -c deadlock_timeout=200ms") as connection:
            while not self._stop.is_set():
                try:
                    self._one(connection, f"host:{number}")
                except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                    self.errors.append(repr(error))
                    return

    def _one(self, connection, holder):
        row = new_row()
        connection.execute(self._told["insert"], [orjson.dumps([row]).decode(), "scheduled", "scheduled", "submitted"])
        self._jobs.put(row["id"])
        job = self._jobs.get_nowait()  # somebody's: old and new take each other's
        grant = [{"id": job, "attempt": 1, "deployment": "d", "deployment_id": 1, "cost": NANO_USD}]
        claimed = connection.execute(self._told["claim"], [orjson.dumps(grant).decode(), 1, holder, holder]).fetchall()
        assert len(claimed) == 1
        usage = Usage(input_tokens=1, output_tokens=1)
        end = Ended(job=job, attempt=1, state=AttemptState.SUCCEEDED, transition=SUCCEED, usage=usage, nano_usd=NANO_USD, result="{}")
        settled = connection.execute(self._told["settle"], [orjson.dumps([_row(end)]).decode()]).fetchall()
        assert len(settled) == 1
        self.done += 1


def prepare(url):
    """A database of the release before, with a past."""
    migrate(url)
    for app, name in OLD_RELEASE:
        migrate(url, app, name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("insert into rateguard_tenants_gateepoch (id, number) values (1, 1) on conflict (id) do update set number = 1")
        connection.execute(
            "insert into rateguard_tenants_tenant (id, name, weight, status, time_zone) values (1, 'acme', 1, 'active', 'UTC')"
        )
        row = new_row()
        old = re.search(r"insert into rateguard_jobs_job \((.*?)\)", old_statements()["insert"], re.DOTALL)[1]
        past = {**row, "state": "succeeded", "finished_at": row["queued_at"]}
        made = old.replace('"id"', "gen_random_uuid()", 1)
        copies = f"select {made} from json_populate_recordset(null::rateguard_jobs_job, %s), generate_series(1, %s)"
        connection.execute(f"insert into rateguard_jobs_job ({old}) {copies}", [orjson.dumps([past]).decode(), HISTORY])


def test_old_and_new_processes_work_on_while_the_tables_change_forward_and_back(server):
    url = server.create_database("old_and_new")
    prepare(url)
    jobs: queue.Queue[uuid.UUID] = queue.Queue()
    with Writers(url, old_statements(), jobs) as old:
        old.make_progress()
        migrate(url)
        old.make_progress()
        with Writers(url, new_statements(), jobs) as new:
            new.make_progress()
            old.make_progress()
        assert new.errors == []
        for app, name in OLD_RELEASE:
            migrate(url, app, name)
        old.make_progress()
    assert old.errors == []
    with contextlib.closing(psycopg.connect(url)) as connection:
        ended, charged = connection.execute(_ENDED).fetchone()
        (rolled,) = connection.execute("select sum(nano_usd) from rateguard_tenants_usagequarter").fetchone()
    assert ended == charged == old.done + new.done
    assert rolled == NANO_USD * charged


_ENDED = """select (select count(*) from rateguard_jobs_job where state = 'succeeded' and attempt = 1),
    (select count(*) from rateguard_tenants_ledgerentry where kind = 'charge')"""
