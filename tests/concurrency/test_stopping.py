"""SIGTERM: no request that was taken is lost, nobody waits longer for it, and each process is gone in time."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import contextlib
import http.client
import socket
import threading
import time

import orjson
import pytest
from django.db import connection

from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import State
from tenants.keys import issue_key
from tests.concurrency.run import assert_all_is_well
from tests.line import MODEL, all_ended, events_of, state_of, states, wait_for
from tests.webprocess import answer, call, send, session, start_web  # noqa: F401

pytestmark = pytest.mark.timeout(240)

HELLO = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20})
GONE_WITHIN_S = 32.0


@pytest.fixture
def secret(live):
    """A key of acme's."""
    return issue_key(live.line.acme, "tests")[1]


def sigterm(child):
    """Ask a process to end and say when it did: a function that waits for it and returns (exit code, seconds)."""
    began_at, ended = time.monotonic(), []
    child.terminate()

    def watch():
        ended.append((child.wait(), time.monotonic() - began_at))

    watching = threading.Thread(target=watch)
    watching.start()

    def when_gone(within_s=60):
        watching.join(within_s)
        assert ended, "it does not end"
        return ended[0]

    return when_gone


@contextlib.contextmanager
def stream_of_jobs(live, per_s):
    """Jobs that come in evenly all the while; yields a function that says how many there were when they stopped."""
    stop, count = threading.Event(), [0]

    def submit():
        began_at = time.monotonic()
        while not stop.wait(max(0.0, began_at + count[0] / per_s - time.monotonic())):
            live.line.submit(user=f"user-{count[0] % 5}")
            count[0] += 1
        connection.close()

    def ended():
        stop.set()
        submitting.join(30)
        return count[0]

    submitting = threading.Thread(target=submit)
    submitting.start()
    try:
        yield ended
    finally:
        ended()


@pytest.mark.long
def test_a_rolling_restart_of_two_workers_under_load_delays_no_job_by_more_than_two_seconds(live):
    live.line.provider.control.configure(latency={"base_ms": 400, "jitter": 0.5, "per_token_ms": 0})
    workers = [live.worker(), live.worker()]
    with stream_of_jobs(live, per_s=20) as ended:
        wait_for(lambda: states()[State.SUCCEEDED] >= 100, 40)
        undisturbed_ms = max(Job.objects.filter(queue_ms__isnull=False).values_list("queue_ms", flat=True))
        for old in workers:
            live.worker()
            assert old.end() == 0
        wait_for(lambda: states()[State.SUCCEEDED] >= states().total() - 40, 40)
        count = ended()
    assert_all_is_well(live, count)
    longest_ms = max(Job.objects.values_list("queue_ms", flat=True))
    assert longest_ms <= undisturbed_ms + 2_000, f"{longest_ms} ms, undisturbed at most {undisturbed_ms} ms"


@pytest.mark.long
def test_whatever_hangs_each_process_is_gone_in_time_and_what_it_had_is_done_by_another(live, start_web, secret):
    live.line.provider.control.configure(latency={"base_ms": 60_000, "jitter": 0, "per_token_ms": 0})
    web, worker = start_web(), live.worker()
    job = live.line.submit()
    wait_for(lambda: Attempt.objects.filter(state=State.RUNNING).exists())
    with socket.create_connection(("127.0.0.1", web.port)) as slow:
        slow.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
        time.sleep(0.2)  # nothing tells that the server has begun to read it
        gone = [sigterm(web.process), sigterm(worker.running)]
        found = [one() for one in gone]
    assert [took_s <= GONE_WITHIN_S for _, took_s in found] == [True, True], found
    assert (found[1][0], state_of(job)) == (0, State.QUEUED)
    live.line.provider.control.configure(latency={"base_ms": 10, "jitter": 0, "per_token_ms": 0})
    live.worker()
    wait_for(all_ended, 30)
    assert events_of(job)[-1] == "finished" or state_of(job) == State.SUCCEEDED


@pytest.mark.long
def test_a_web_process_says_that_it_leaves_before_it_closes_and_answers_all_that_it_took(live, start_web, secret):
    web = start_web()
    with session(web, secret) as waiting, session(web, secret) as submitting:
        send(waiting, "POST", "/api/v1/jobs?wait=60", HELLO)
        wait_for(lambda: Job.objects.count() == 1)
        assert readiness(web) in {200, 503}
        gone = sigterm(web.process)
        assert answer(waiting)[0] == 202
        wait_for(lambda: readiness(web) == 503)
        status, told = call(submitting, "POST", "/api/v1/jobs?wait=60", HELLO)
        assert (status, told["status"]) == (202, "queued")
    _, took_s = gone()
    assert took_s < 10
    with pytest.raises(ConnectionRefusedError):
        readiness(web)
    live.worker()
    wait_for(lambda: states() == {State.SUCCEEDED: 2}, 30)


@pytest.mark.long
def test_all_of_it_may_be_ended_at_once_while_requests_come_in(live, start_web, secret):
    webs, workers = [start_web(), start_web()], [live.worker()]
    answered, stop = [], threading.Event()

    def ask(web):
        while not stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException), session(web, secret) as asking:
                answered.append(call(asking, "POST", "/api/v1/jobs", HELLO))

    callers = [threading.Thread(target=ask, args=[web]) for web in webs for _ in range(2)]
    for one in callers:
        one.start()
    wait_for(lambda: len(answered) > 40, 30)
    gone = [sigterm(one) for one in (webs[0].process, workers[0].running, webs[1].process)]
    assert max(one()[1] for one in gone) <= GONE_WITHIN_S
    stop.set()
    for one in callers:
        one.join(30)
    assert {status for status, _ in answered} == {202}
    live.worker()
    wait_for(all_ended, 60)
    accepted = {told["id"] for _, told in answered}
    assert accepted <= {str(pk) for pk in Job.objects.filter(state=State.SUCCEEDED).values_list("pk", flat=True)}


def readiness(web):
    """The status of /readyz, asked on a connection of its own."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)) as looking:
        looking.request("GET", "/readyz")
        return looking.getresponse().status
