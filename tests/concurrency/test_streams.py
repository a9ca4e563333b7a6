"""Streams while processes are held, die and lose Redis: real workers, a real web process, a real reader."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import http.client
import os
import signal
import threading
import time
from pathlib import Path

import orjson
import pytest
import redis

from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import AttemptState, State
from tenants.keys import issue_key
from tests.eventreading import parts_of, voided
from tests.line import assert_books_close, events_of, has_ended, wait_for
from tests.webprocess import start_web  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.long, pytest.mark.timeout(180)]

QUICK_DEATH = {"RATEGUARD_HEARTBEAT_MS": "500", "RATEGUARD_DEAD_AFTER_MS": "2000"}
PLAIN = ("--without-gossip", "--without-mingle")


class Reader(threading.Thread):
    """Reads a job's events from a web process, and comes back each time that it is cut."""

    def __init__(self, web, secret, job):
        super().__init__(daemon=True)
        self._web, self._secret, self._path = web, secret, f"/api/v1/jobs/{job.pk}/events"
        self.events, self.has_end = [], False
        self.start()

    def run(self):
        while not self.has_end:
            connection = http.client.HTTPConnection("127.0.0.1", self._web.port, timeout=60)
            told = next((event.id for event in reversed(self.events) if event.id), "")
            connection.request("GET", self._path, headers={"Authorization": f"Bearer {self._secret}", "Last-Event-ID": told})
            self.read(connection.getresponse())

    def read(self, response):
        block = ""
        while line := response.readline().decode():
            block += line
            if line == "\n":
                self.events += parts_of(block)
                block = ""
                self.has_end = self.events and self.events[-1].name in {"succeeded", "failed", "cancelled", "expired"}

    def names(self):
        return [event.name for event in self.events]

    def text(self):
        choices = [choice for event in voided(self.events) for choice in orjson.loads(event.data)["choices"]]
        return "".join((one.get("delta") or one.get("message") or {}).get("content") or "" for one in choices)


@pytest.fixture
def secret(live):
    return issue_key(live.line.acme, "reader")[1]


def stream_of(line, max_tokens):
    submission = line.submission(max_tokens=max_tokens)
    submission.body["stream"] = True
    return submit(submission).job


def slowly(line, per_token_ms):
    line.provider.control.configure(latency={"per_token_ms": per_token_ms}, output={"least": 1.0})


def answer_text(job):
    job.refresh_from_db()
    return orjson.loads(job.result)["choices"][0]["message"]["content"]


def is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_a_worker_that_was_held_between_claim_and_call_sends_nothing_when_it_goes_on(live):
    held = live.mortal("claimed", 1, MORTAL_SIGNAL="SIGSTOP", **QUICK_DEATH)
    held.wait_for("ready.")
    job = live.line.submit()
    wait_for(lambda: is_stopped(held.running.pid), 30)
    live.worker(*PLAIN, "-n", "other@%h", **QUICK_DEATH)
    wait_for(lambda: has_ended(job), 40)
    os.kill(held.running.pid, signal.SIGCONT)
    held.wait_for("never_sent", 30)
    assert [one.attempt_id for one in live.line.provider.control.log()] == [f"{job.pk}.2"]
    assert list(Attempt.objects.order_by("number").values_list("state", flat=True)) == [AttemptState.ABANDONED, AttemptState.SUCCEEDED]
    assert events_of(job) == ["submitted", "started", "orphaned", "started", "succeeded"]
    assert_books_close()


def test_a_stream_lives_as_long_as_its_worker_beats(live):
    live.worker(*PLAIN, **QUICK_DEATH)
    slowly(live.line, 150)
    job = stream_of(live.line, max_tokens=40)  # 6 s: three times what a silent holder is given
    wait_for(lambda: has_ended(job), 40)
    assert events_of(job) == ["submitted", "started", "succeeded"]
    assert Attempt.objects.get().latency_ms > 5_000


def test_a_reader_has_the_whole_answer_although_the_worker_died_within_it(live, start_web, secret):
    first = live.worker(*PLAIN, **QUICK_DEATH)
    slowly(live.line, 60)
    job = stream_of(live.line, max_tokens=60)
    reader = Reader(start_web(), secret, job)
    wait_for(lambda: reader.names().count("chunk") >= 10, 30)
    first.kill()
    live.worker(*PLAIN, "-n", "other@%h", **QUICK_DEATH)
    reader.join(60)
    names = reader.names()
    assert (names[-1], names.count("restarted")) == ("succeeded", 1)
    assert reader.text() == answer_text(job)
    assert Attempt.objects.count() == 2


def test_a_reader_has_the_whole_answer_although_redis_was_emptied_within_it(live, start_web, secret):
    live.worker(*PLAIN)
    slowly(live.line, 60)
    job = stream_of(live.line, max_tokens=60)
    web = start_web()
    reader = Reader(web, secret, job)
    wait_for(lambda: reader.names().count("chunk") >= 10, 30)
    with redis.Redis.from_url(live.url) as client:
        client.flushall()
    late = Reader(web, secret, job)
    reader.join(60)
    late.join(60)
    assert job.attempts.get().state == State.SUCCEEDED
    assert reader.text() == late.text() == answer_text(job)
    assert late.names()[-3:] == ["chunk", "usage", "succeeded"]


def test_a_web_process_that_is_asked_to_end_lets_its_readers_go_to_another(live, start_web, secret):
    job = live.line.submit()
    first, second = start_web(), start_web()
    reader = Reader(first, secret, job)
    wait_for(lambda: "queued" in reader.names(), 30)
    reader._web = second
    began_at = time.monotonic()
    assert first.stop() in {0, -signal.SIGTERM}
    assert time.monotonic() - began_at < 10
    live.worker(*PLAIN)
    reader.join(60)
    assert reader.names()[-3:] == ["chunk", "usage", "succeeded"]
