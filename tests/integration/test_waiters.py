"""A web process and its waiters: they cost no thread, no connection, little memory, and nobody else's time."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio
import contextlib
import signal
import statistics
import time
from pathlib import Path

import orjson
import pytest
import redis
from django.db import connection

from rateguard.bench.cpu import cpu_ms
from rateguard.engine.keys import finished_channel
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.transition import end
from rateguard.jobs.models import Job
from rateguard.jobs.states import CANCEL
from tests.beside import in_thread
from tests.simprovider import wait_for
from tests.tenancy import CHAT_MODEL, acme  # noqa: F401
from tests.webprocess import answer, call, send, session, start_web  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.long]

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
WAITERS = 500
A_HANDFUL = 8
MOST_MEMORY_KB = 60 * 1024
ASKS = 60
QUIET_MS = 100
"""CPU in a second of a process that does nothing but look at its waiters' row."""


def subscribers(url):
    with redis.Redis.from_url(url) as client:
        return client.pubsub_numsub(finished_channel("default"))[0][1]


class Burden:
    """What a web process takes of its machine and of the database."""

    def __init__(self, pid):
        self._proc = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (self._proc / "status").read_text().splitlines())
        self.threads = int(status["Threads"])
        self.memory_kb = int(status["VmRSS"].split()[0])
        links = [str(link) for link in self._links()]
        self.sockets = sum(link.startswith("socket:") for link in links)
        database = Path(str(connection.settings_dict["NAME"])).name
        self.connections = self._at_postgres() if connection.vendor == "postgresql" else sum(database in link for link in links)

    def _at_postgres(self):
        """All but this test's own."""
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
            return cursor.fetchone()[0]

    def _links(self):
        for link in (self._proc / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield link.readlink()


class Waiter:
    """A caller of a web process, over a socket of its own."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    @classmethod
    async def ask(cls, port, secret, path):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n\r\n".encode())
        await writer.drain()
        return cls(reader, writer)

    async def answer(self):
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line.partition(b":")[2]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
        return int(head.split()[1]), orjson.loads(await self._reader.readexactly(length))

    def leave(self):
        self._writer.close()


def median_ms(web, acme, path):
    took = []
    with session(web, acme.secret) as http:
        for _ in range(ASKS):
            began_at = time.perf_counter()
            assert call(http, "GET", path)[0] == 200
            took.append((time.perf_counter() - began_at) * 1000)
    return statistics.median(took)


@pytest.mark.alone
@pytest.mark.timeout(240)
class TestManyWaiters:
    def test_500_waiters_hold_no_thread_no_connection_little_memory_and_nobody_up(self, start_web, acme, redis_url):
        web = start_web()
        with session(web, acme.secret) as http:
            job = call(http, "POST", "/api/v1/jobs", orjson.dumps(HELLO))[1]
            path = f"/api/v1/jobs/{job['id']}"
            call(http, "GET", f"{path}?wait=1")  # the subscription stands, all is loaded
        asyncio.run(self.scenario(web, acme, path))

    async def scenario(self, web, acme, path):
        await self.load(web, acme, path)  # as in any process that has worked: a pool keeps the connections that it opened
        before_ms = await asyncio.to_thread(median_ms, web, acme, path)
        idle = await self.settled(web)
        waiters = await asyncio.gather(*(Waiter.ask(web.port, acme.secret, f"{path}?wait=60") for _ in range(WAITERS)))
        answers = [asyncio.ensure_future(waiter.answer()) for waiter in waiters]
        during = await self.settled(web, sockets=WAITERS)
        assert not any(answer.done() for answer in answers)
        during_ms = await asyncio.to_thread(median_ms, web, acme, path)
        assert during.threads <= idle.threads + A_HANDFUL
        assert during.connections <= idle.connections + A_HANDFUL
        assert during.memory_kb <= idle.memory_kb + MOST_MEMORY_KB
        assert during_ms <= 3 * before_ms

        for waiter, waited in zip(waiters[:100], answers[:100], strict=True):
            waited.cancel()
            waiter.leave()
        await asyncio.to_thread(self.end_job, path)
        told = await asyncio.wait_for(asyncio.gather(*answers[100:]), 60)
        assert {(status, job["status"]) for status, job in told} == {(200, "cancelled")}
        for waiter in waiters:
            waiter.leave()
        after = await self.settled(web)
        assert after.threads <= idle.threads + A_HANDFUL
        assert after.connections <= idle.connections + A_HANDFUL

    @staticmethod
    async def load(web, acme, path):
        """As many requests at once, none of which waits."""
        asked = await asyncio.gather(*(Waiter.ask(web.port, acme.secret, path) for _ in range(100)))
        assert {(await one.answer())[0] for one in asked} == {200}
        for one in asked:
            one.leave()

    @staticmethod
    async def settled(web, sockets=0):
        """The burden of a process that has so many sockets and nothing to do."""

        def look():
            try:
                deadline = time.monotonic() + 90
                while time.monotonic() < deadline:
                    worked_ms = cpu_ms(web.process.pid)
                    time.sleep(1)
                    if cpu_ms(web.process.pid) - worked_ms < QUIET_MS and Burden(web.process.pid).sockets >= sockets:
                        return Burden(web.process.pid)
                raise AssertionError("the web process does not come to rest")
            finally:
                connection.close()

        return await asyncio.to_thread(look)

    @staticmethod
    def end_job(path):
        try:
            cancel(Job.objects.get(pk=path.rpartition("/")[2]))
        finally:
            connection.close()


class TestWebProcess:
    def test_a_job_is_submitted_waited_for_and_ended_over_http(self, start_web, acme, redis_url):
        others, web = subscribers(redis_url), start_web()
        with session(web, acme.secret) as http:
            status, job = call(http, "POST", "/api/v1/jobs", orjson.dumps(HELLO))
            assert (status, job["status"]) == (202, "queued")
            ender = in_thread(lambda: wait_for(lambda: subscribers(redis_url) > others) and cancel(Job.objects.get(pk=job["id"])))
            assert call(http, "GET", f"/api/v1/jobs/{job['id']}?wait=60")[1]["status"] == "cancelled"
            ender.join()
        assert web.stop() == -signal.SIGTERM  # how uvicorn ends: by the signal that it got
        assert "exception" not in web.log.read_text()

    def test_without_redis_a_job_is_accepted_at_once_and_waited_for(self, start_web, acme):
        with session(start_web(REDIS_URL="redis://127.0.0.1:1/0"), acme.secret) as http:
            call(http, "GET", "/api/v1/jobs/1")  # the first request of a process loads what it needs
            started = time.monotonic()
            status, job = call(http, "POST", "/api/v1/jobs", orjson.dumps(HELLO))
            assert (status, time.monotonic() - started < 10) == (202, True)  # a request that waited for Redis would hang for longer
            send(http, "GET", f"/api/v1/jobs/{job['id']}?wait=60")
            end(Job.objects.filter(pk=job["id"]), CANCEL)
            assert answer(http)[1]["status"] == "cancelled"

    def test_a_process_that_is_asked_to_end_answers_who_waits(self, start_web, acme, redis_url):
        others, web = subscribers(redis_url), start_web()
        with session(web, acme.secret) as first:
            job = call(first, "POST", "/api/v1/jobs", orjson.dumps(HELLO))[1]
            send(first, "GET", f"/api/v1/jobs/{job['id']}?wait=60")
            wait_for(lambda: subscribers(redis_url) > others)
            assert web.stop(grace_s=15) == -signal.SIGTERM
            assert answer(first)[1]["status"] == "queued"
