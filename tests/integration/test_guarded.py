"""A database that says nothing holds nobody up, and nobody is refused while it answers."""

import asyncio
import threading
import time

import pytest
from django.db import connection

from rateguard.api.layers import guarded as layer
from rateguard.api.layers import pulse
from rateguard.api.layers.guarded import Guarded, guarded
from rateguard.api.layers.pulse import OwnConnection
from tests.asgi import Caller
from tests.beside import until

TICK_S = 0.004


class Silenceable:
    """A database that can be held: `ask` blocks meanwhile. Counts how often it was asked, and broken off."""

    def __init__(self):
        self.answers = threading.Event()
        self.answers.set()
        self.asked = self.broken_off = 0

    def ask(self):
        self.asked += 1
        assert self.answers.wait(20)

    def break_off(self):
        self.broken_off += 1


@pytest.fixture
def database(monkeypatch):
    """The one that the layer asks."""
    held = Silenceable()
    for name, value in {"TICK_S": TICK_S, "BEAT_S": 2 * TICK_S, "IDLE_S": 0.2}.items():
        monkeypatch.setattr(pulse, name, value)
    monkeypatch.setattr(layer, "OwnConnection", lambda: held)
    yield held
    held.answers.set()


@pytest.fixture
def work():
    """What is behind the layer: it begins to answer /begun at once, and everything else when `go` is set."""
    go = asyncio.Event()

    async def application(scope, receive, send):
        begins = scope["path"] != "/api/begun"
        if begins:
            await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go.wait()
        await send({"type": "http.response.body", "body": b"done"})

    application.go = go
    return application


async def test_who_waits_for_a_silent_database_is_told_and_who_comes_then_is_told_at_once(database, work):
    guard = Guarded(work)
    database.answers.clear()
    early = await Caller(guard, "POST", "/api/v1/jobs").done()
    late = Caller(guard, "GET", "/api/v1/models")
    await asyncio.sleep(0)
    for caller in (early, late):
        assert (caller.status, caller.json()["code"], caller.headers["retry-after"]) == (503, "unavailable", "1")
        assert caller.headers["connection"] == "close"


async def test_an_answer_that_has_begun_goes_on(database, work):
    guard = Guarded(work)
    begun, waiting = Caller(guard, "GET", "/api/begun"), Caller(guard, "GET", "/api/other")
    await asyncio.sleep(0)
    database.answers.clear()
    assert (await waiting.done()).status == 503
    work.go.set()
    assert ((await begun.done()).status, begun.body) == (200, b"done")


async def test_a_page_is_a_page_and_a_file_needs_no_database(database, work):
    guard = Guarded(work)
    database.answers.clear()
    page = await Caller(guard, "GET", "/dashboard/").done()
    assert (page.status, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert b"Load the page again" in page.body
    assert (await Caller(guard, "HEAD", "/dashboard/").done()).body == b""
    work.go.set()
    assert (await Caller(guard, "GET", "/static/a.css").done()).status == 200


async def test_once_it_answers_again_nobody_is_refused(database, work):
    guard = Guarded(work)
    database.answers.clear()
    assert (await Caller(guard, "GET", "/api/v1/models").done()).status == 503
    work.go.set()
    database.answers.set()
    await until(lambda: not guard._pulse.is_silent)
    assert (await Caller(guard, "GET", "/api/v1/models").done()).status == 200


async def test_a_process_that_was_held_itself_refuses_nobody(database, work):
    guard = Guarded(work)
    caller = Caller(guard, "GET", "/api/v1/models")
    await until(lambda: database.asked)
    time.sleep(3 * pulse.SILENT_TICKS * TICK_S)  # noqa: ASYNC251 -- the loop is held, as by SIGSTOP
    work.go.set()
    assert (await caller.done()).status == 200


async def test_slow_work_is_not_refused_while_the_database_answers(database, work):
    guard = Guarded(work)
    slow = Caller(guard, "GET", "/api/v1/models")
    await until(lambda: database.asked > pulse.SILENT_TICKS)
    work.go.set()
    assert (await slow.done()).status == 200


async def test_the_works_own_timeout_is_not_taken_for_silence(database):
    async def application(scope, receive, send):
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await Caller(Guarded(application), "GET", "/api/v1/models").done()


async def test_without_requests_it_is_left_alone_and_a_silent_connection_is_broken_off(database, work, monkeypatch):
    monkeypatch.setattr(pulse, "RENEW_TICKS", 20)
    guard = Guarded(work)
    database.answers.clear()
    await Caller(guard, "GET", "/api/v1/models").done()
    await until(lambda: database.broken_off)
    database.answers.set()
    await until(guard._pulse._watching.done)
    count = database.asked
    await asyncio.sleep(5 * TICK_S)
    assert database.asked == count


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_its_connection_is_its_own_and_comes_back_when_it_was_broken_off():
    own = OwnConnection()
    own.ask()
    assert own._connection.settings_dict["OPTIONS"].get("pool") is None
    first = own._connection.connection
    own.break_off()
    own.ask()
    own.ask()
    assert own._connection.connection is not first
    own._close()


def test_sqlite_has_no_server_that_could_be_silent():
    async def application(scope, receive, send): ...

    assert (guarded(application) is application) == (connection.vendor == "sqlite")
