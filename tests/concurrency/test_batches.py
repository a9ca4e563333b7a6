"""A batch beside what kills and what waits: fifty thousand lines in bounded memory, a killed web process, a file that is stopped."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson
import pytest

from rateguard.bench.batches import peak_mb
from rateguard.jobs.models import Batch, Job, JobEvent
from tenants.keys import issue_key
from tests.line import MODEL, wait_for
from tests.webprocess import call, session, start_web  # noqa: F401

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]
LINES = 50_000
MOST_MB = 300
PATIENCE_S = 10.0
"""For another request meanwhile, on a machine that does much else."""


def lines(count: int) -> bytes:
    return b"".join(
        orjson.dumps(
            {
                "custom_id": f"q-{number}",
                "model": MODEL,
                "messages": [{"role": "user", "content": f"How many apples has Anna, who buys {number} and eats three of them? " * 4}],
                "max_tokens": 20,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for number in range(count)
    )


def post(web, secret, raw, **headers):
    with session(web, secret) as connection:
        connection.timeout = 250
        return call(connection, "POST", "/api/v1/batches", raw, Content_Type="application/jsonl", **headers)


@pytest.fixture
def secret(line):
    return issue_key(line.acme, "batches")[1]


def test_fifty_thousand_lines_take_bounded_memory_and_others_are_answered_meanwhile(line, start_web, secret):
    web = start_web()
    took, done = [], threading.Event()

    def ask():
        with session(web, secret) as connection:
            while not done.is_set():
                began = time.monotonic()
                status, _ = call(connection, "GET", "/api/v1/jobs?limit=1")
                took.append((status, time.monotonic() - began))
                time.sleep(0.05)  # a caller now and then

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        status, batch = post(web, secret, lines(LINES))
    finally:
        done.set()
        asking.join()

    assert (status, batch["total"], batch["counts"]["queued"]) == (201, LINES, LINES)
    assert JobEvent.objects.filter(job__batch=batch["id"]).count() == LINES
    assert peak_mb(web.process.pid) < MOST_MB
    assert len(took) > 10
    assert {status for status, _ in took} == {200}
    assert max(seconds for _, seconds in took) < PATIENCE_S


def test_a_web_process_that_is_killed_in_the_middle_leaves_all_or_nothing(line, start_web, secret):
    raw = lines(8_000)
    for after_s in (0.3, 1.0, 2.0):
        web = start_web()
        killing = threading.Timer(after_s, lambda web=web: web.process.send_signal(signal.SIGKILL))
        killing.start()
        try:
            post(web, secret, raw, Idempotency_Key="once")
        except OSError:
            pass
        finally:
            killing.join()
        assert Job.objects.count() in {0, 8_000}
        assert Batch.objects.count() == (1 if Job.objects.count() else 0)
    status, batch = post(start_web(), secret, raw, Idempotency_Key="once")
    assert (status in {200, 201}, batch["total"], Job.objects.count()) == (True, 8_000, 8_000)


@pytest.mark.parametrize("door", ["here", "by rest"])
def test_a_file_that_was_stopped_half_way_goes_on_and_no_line_is_done_twice(live, start_web, child_env, tmp_path, door):
    """The provider's own log says how often each line came."""
    live.line.provider.control.configure(latency={"base_ms": 400})
    _, secret = issue_key(live.line.acme, "file")
    found = {"RATEGUARD_URL": start_web().url, "RATEGUARD_KEY": secret} if door == "by rest" else {}
    environment = {name: value for name, value in child_env.items() if name not in {"RATEGUARD_URL", "RATEGUARD_KEY"}} | found
    file, out = tmp_path / "jobs.jsonl", tmp_path / "out.jsonl"
    file.write_bytes(lines(60))
    command = [sys.executable, "manage.py", "submit", str(file), "--wait", "-o", str(out)]
    command += [] if found else ["--tenant", "acme"]
    started = subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE)
    wait_for(Batch.objects.exists, 60)
    live.worker("--without-gossip", "--without-mingle")
    wait_for(lambda: Job.objects.filter(state="succeeded").exists(), 60)
    os.kill(started.pid, signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode != 0
    assert b"no line is done twice" in told
    assert not out.exists()

    again = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, timeout=120, check=False)

    assert again.returncode == 0, again.stderr
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["custom_id"] for one in answers] == [f"q-{number}" for number in range(60)]
    assert all(one["response"]["status_code"] == 200 for one in answers)
    assert (Batch.objects.count(), Job.objects.count()) == (1, 60)
    assert len(live.line.provider.control.log()) == 60
    assert {path.name for path in tmp_path.iterdir()} >= {"jobs.jsonl", "out.jsonl"}
