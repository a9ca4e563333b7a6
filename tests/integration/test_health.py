"""Alive and ready: what a supervisor and a load balancer ask, and that no dependency that hangs keeps them waiting."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import socket
import threading
import time

import orjson
import pytest
import redis
from django.test import Client

from rateguard.api import health
from rateguard.engine.keys import GATE_KEYS, gate_prefix
from tests.asgi import Caller
from tests.simprovider import wait_for
from tests.webprocess import call, session, start_web  # noqa: F401

NAMES = {"database", "migrations", "redis", "gate", "broker"}


@pytest.fixture
def checks(monkeypatch):
    """This test's own, with nothing under way from another's."""
    health._migrated.cache_clear()
    fresh = health._checks()
    monkeypatch.setattr(health, "CHECKS", fresh)
    yield {check.name: check for check in fresh}
    for check in fresh:
        for _, found in check._running:
            found.result(20)


@pytest.fixture
def listener():
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def states(response):
    return {name: check["state"] for name, check in response.json()["checks"].items()}


class TestReady:
    pytestmark = pytest.mark.django_db(transaction=True)

    def test_a_process_with_all_it_needs_is_ready(self, line, checks):
        response = Client().get("/readyz")
        assert (response.status_code, response.json()["status"]) == (200, "ready")
        assert states(response) == dict.fromkeys(NAMES, "ok")
        assert all(0 < check["ms"] < 1_000 and "do" not in check for check in response.json()["checks"].values())
        assert response.headers["Cache-Control"] == "no-store"
        assert (Client().head("/readyz").content, Client().post("/readyz").status_code) == (b"", 405)

    def test_a_gate_that_is_being_rebuilt_and_migrations_that_wait_are_not_ready_and_say_why(self, line, redis_url, checks, monkeypatch):
        with redis.Redis.from_url(redis_url) as client:
            client.delete(gate_prefix("default") + GATE_KEYS["epoch"])
        monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *_: ["one"])
        response = Client().get("/readyz")
        assert (response.status_code, response.json()["status"]) == (503, "not_ready")
        assert states(response) == {**dict.fromkeys(NAMES, "ok"), "gate": "empty", "migrations": "behind"}
        assert response.json()["checks"]["migrations"]["do"] == "run manage.py migrate"


class TestWhatHangs:
    async def test_the_answer_comes_in_time_and_threads_do_not_pile_up(self, monkeypatch):
        free = threading.Event()
        hangs = health.Check("hangs", lambda: free.wait(20) and health.OK, "wait")
        works = health.Check("works", lambda: health.OK, "")
        monkeypatch.setattr(health, "CHECKS", (hangs, works))
        monkeypatch.setattr(health, "DEADLINE_S", 0.1)
        before = threading.active_count()
        for _ in range(3):
            caller = await Caller(health.health, "GET", "/readyz").done(1)
            assert caller.status == 503
            told = caller.json()["checks"]
            assert (told["hangs"], told["works"]["state"]) == ({"state": "no_answer", "ms": 100.0, "do": "wait"}, "ok")
        assert threading.active_count() <= before + 1
        monkeypatch.setattr(health, "RENEW_S", 0.0)
        for _ in range(5):
            hangs.ask()
        assert len(hangs._running) == health.MOST_HANGING
        free.set()
        for _, found in list(hangs._running):
            found.result(10)
        assert (await Caller(health.health, "GET", "/readyz").done(1)).status == 200

    async def test_what_went_wrong_is_told_to_the_log_alone(self, monkeypatch, caplog):
        def fail():
            raise OSError("postgres://user:secret@10.1.2.3 refuses")

        monkeypatch.setattr(health, "CHECKS", (health.Check("database", fail, "look"),))
        answers = [await Caller(health.health, "GET", "/readyz").done() for _ in range(2)]
        assert [caller.status for caller in answers] == [503, 503]
        assert b"10.1.2.3" not in answers[0].body
        assert len([record for record in caplog.records if "10.1.2.3" in record.message]) == 1

    async def test_head_has_no_body_and_other_methods_and_addresses_are_problems(self):
        head, post, other = [
            await Caller(health.health, method, path).done()
            for method, path in (("HEAD", "/healthz"), ("POST", "/readyz"), ("GET", "/healthz/x"))
        ]
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "18")
        assert (post.status, post.headers["allow"], post.json()["code"]) == (405, "GET, HEAD", "method_not_allowed")
        assert (other.status, other.json()["code"]) == (404, "not_found")


@pytest.mark.long
class TestWebProcess:
    def test_a_frozen_redis_and_a_silent_database_cost_less_than_a_second(self, start_web, own_valkey, listener):
        web = start_web(
            REDIS_URL=own_valkey.url,
            DATABASE_URL=f"postgres://u:secret@127.0.0.1:{listener}/x",
            BROKER_URL=f"redis://127.0.0.1:{listener}/0",
        )
        with session(web, "") as http:
            call(http, "GET", "/readyz")
            own_valkey.server.freeze()
            try:
                for _ in range(3):
                    began_at = time.monotonic()
                    status, told = call(http, "GET", "/readyz")
                    assert time.monotonic() - began_at < 1.0
                    assert status == 503
                    states = {name: check["state"] for name, check in told["checks"].items()}
                    of_database = {states.pop("database"), states.pop("migrations")}
                    assert of_database <= {"no_answer", "failed"}  # once the pool knows, it says so before the time is over
                    assert states == {"redis": "failed", "gate": "failed", "broker": "no_answer"}
                    assert not {"secret", "127.0.0.1", str(listener)} & set(orjson.dumps(told).decode().replace('"', " ").split())
                    began_at = time.monotonic()
                    assert call(http, "GET", "/healthz") == (200, {"status": "alive"})
                    assert time.monotonic() - began_at < 0.5
            finally:
                own_valkey.server.thaw()
            wait_for(lambda: call(http, "GET", "/readyz")[1]["checks"]["redis"]["state"] == "ok")
