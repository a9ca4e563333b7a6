"""The page Now: its figures are the rows', each sees their own, it renders without the gate, and it keeps itself new."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio
import http.client
import re
import time
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dashboard.views import now as view
from dashboard.views import now_live
from rateguard import wiring
from rateguard.api.layers.one_thread import OneThread
from rateguard.api.layers.waiting import Waits
from rateguard.engine.errors import GateUnavailable
from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Hindrance, Job
from rateguard.jobs.upkeep.hindrances import note_hindrances
from tenants.models import Member, MemberRole
from tests.asgi import Caller
from tests.beside import in_database, until
from tests.following import follower  # noqa: F401
from tests.webprocess import start_web  # noqa: F401


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(view, "SHARED", view.Shared())


def client_of(*tenants, name="ada"):
    """A member of these tenants, an operator of none."""
    users = get_user_model().objects
    user = users.create_user(name) if tenants else users.create_superuser(name)
    for tenant in tenants:
        Member.objects.create(user=user, tenant=tenant, role=MemberRole.VIEWER)
    client = Client()
    client.force_login(user)
    return client


def text_of(response):
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def page(client, query=""):
    view.SHARED.forget()
    return text_of(client.get(reverse("dashboard:now") + query))


def away(*_):
    raise GateUnavailable("away")


def grant_all(line):
    line.beat()
    line.settled()
    while not line.messages.empty():
        line.claim(line.messages.get())


def busy(line):
    """One job of acme is finished, one runs, four wait for the account; one of globex does."""
    line.account_limit("requests", 2, is_enforced=False)
    line.submit()
    line.beat()
    line.run_granted()
    line.submit()
    grant_all(line)
    line.submit_many(3)
    line.submit(lane=Lane.HIGH)
    line.submit(line.tenant("globex"))
    line.settled()


class TestFigures:
    def test_they_are_those_of_the_rows(self, line):
        busy(line)
        told = page(client_of())
        assert "Accepting jobs. Finishing 1 a minute; 5 wait for 2 requests/h on account sim. At this rate they are done in 5 min." in told
        assert "Waiting 5" in told
        assert "high 1" in told
        assert "normal 4" in told
        assert "Running 1 of 100 slots" in told
        assert "2 requests/h 2 of 2" in told
        assert "sim-1 full room in" in told
        assert "w1 all lanes 1 of 100 slots in use" in told

    def test_a_change_of_another_process_is_heard_of(self, line, monkeypatch):
        client = client_of()
        assert "sim-1 open" in page(client)
        with monkeypatch.context() as other_process:
            other_process.setattr(wiring, "note_version", lambda _: None)
            line.deployment.name = "renamed"
            line.deployment.save()
        assert "renamed open" in page(client)

    def test_a_member_sees_the_own_alone_and_of_others_no_amount(self, line):
        busy(line)
        Hindrance.objects.all().delete()
        told = page(client_of(line.acme))
        assert "Finishing 1 a minute; 4 wait for a limit on account sim." in told
        assert "a limit of requests is full" in told
        assert "w1" not in told
        assert "globex" not in told
        other = page(client_of(Job.objects.exclude(tenant=line.acme).get().tenant, name="bob"))
        assert "None finished in the last minute; 1 waits for a limit on account sim." in other
        assert "Running 0" in other
        for amount in ("2 requests", "2 of 2", "100 slots"):
            assert amount not in other

    def test_an_empty_system_says_so(self, line):
        told = page(client_of())
        for words in ("Accepting jobs. No worker runs and nothing waits.", "No job waits", "manage.py llmworker", "sim-1 open", "Quiet"):
            assert words in told

    def test_of_many_no_more_are_counted_than_are_needed(self, line, monkeypatch):
        from dashboard.queries import now_rows

        monkeypatch.setattr(now_rows, "MOST_COUNTED", 3)
        line.submit_many(5)
        assert "Waiting 3+" in page(client_of())

    def test_a_full_queue_is_told_its_tenant(self, line):
        line.submit_many(2)
        line.acme.max_waiting = 2
        line.acme.save()
        assert "Not accepting jobs: 2 wait, which is the most that may." in page(client_of(line.acme))

    def test_it_asks_few_questions_and_shares_the_answers(self, line):
        busy(line)
        line.limit("requests", 100)
        line.budget(10**9)
        for client in (client_of(), client_of(line.acme, name="bob")):
            page(client)
            view.SHARED.forget()
            with CaptureQueriesContext(connection) as asked:
                client.get(reverse("dashboard:now"))
            assert len(asked) <= 15, "\n".join(one["sql"][:300] for one in asked)
            with CaptureQueriesContext(connection) as again:
                client.get(reverse("dashboard:now-panels"))
            assert len(again) <= 5

    def test_a_database_that_takes_no_writing_is_named(self, line):
        client = client_of()
        switch = {"sqlite": "PRAGMA query_only = {}", "postgresql": "SET default_transaction_read_only = {}"}[connection.vendor]
        try:
            connection.cursor().execute(switch.format("on"))
            assert "Not accepting jobs: the database takes no writing." in page(client)
        finally:
            connection.cursor().execute(switch.format("off"))

    def test_a_zone_is_named_and_an_unknown_one_refused(self, line):
        client = client_of()
        assert "Asia/Kathmandu" in page(client, "?zone=Asia/Kathmandu")
        assert client.get(reverse("dashboard:now") + "?zone=Nowhere/At-all").status_code == 400


class TestWithoutTheGate:
    def test_it_shows_what_was_known_last_and_says_so(self, line, monkeypatch):
        busy(line)
        note_hindrances(line.gate)
        asked = []
        for call in ("limits_of", "inspect"):
            monkeypatch.setattr(line.gate, call, lambda *_: (asked.append(1), away()))
        told = page(client := client_of())
        assert "the gate does not answer: no new job starts until it is back. 1 finished in the last minute; 5 wait" in told
        assert "when last seen for 2 requests/h on account sim" in told
        assert len(asked) == 1
        assert client.get(reverse("dashboard:now")).content.count(b"stale") == 3
        member = page(client_of(line.acme, name="bob"))
        assert "a limit on account sim" in member
        assert "2 requests" not in member

    def test_a_frozen_server_costs_one_timeout(self, line, own_valkey, monkeypatch):
        from rateguard.conf import conf
        from rateguard.engine.gate.redis import RedisGate, connect

        busy(line)
        line.limit("requests", 100)
        frozen = RedisGate(connect(own_valkey.url, conf().gate_timeout_ms))
        frozen.epoch()  # connected
        own_valkey.server.freeze()
        monkeypatch.setattr(wiring, "gate", lambda: frozen)
        began_at = time.monotonic()
        assert "the gate does not answer" in page(client_of())
        assert time.monotonic() - began_at < 2  # on a machine that does other things; ten waits would be longer


class TestLive:
    def test_without_the_layer_one_event_goes_out_and_the_browser_asks_again(self, line):
        response = client_of().get(reverse("dashboard:now-live"))
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.content.startswith(b"retry: ")
        assert response.content.count(b"event: now\n") == 1
        assert response.content.endswith(b"\n\n")

    def test_who_is_signed_out_gets_no_stream(self, line):
        assert Client().get(reverse("dashboard:now-live"), headers={"Accept": "text/event-stream"}).status_code == 401
        assert Client().get(reverse("dashboard:now")).status_code == 302

    @pytest.mark.timeout(30)
    def test_a_change_is_sent_a_sameness_is_not_and_who_is_signed_out_is_told(self, line, follower, monkeypatch):
        monkeypatch.setattr(now_live, "LOOK_EACH_S", 0.05)
        monkeypatch.setattr(now_live, "BEAT_S", 0.2)
        monkeypatch.setattr(view.SHARED, "get", lambda _, make: make())
        client = client_of()
        cookie = f"rateguard_session={client.cookies['rateguard_session'].value}"

        async def scenario():
            layer = Waits(OneThread())
            streams = [Caller(layer, "GET", reverse("dashboard:now-live"), Cookie=cookie, Accept="text/event-stream") for _ in range(2)]
            listening, leaving = streams
            await until(lambda: b": still here" in listening.body)
            assert listening.body.count(b"event: now") == 1
            await in_database(line.submit)
            await until(lambda: listening.body.count(b"event: now") > 1 and b">1</a></dd>" in listening.body)
            leaving.leave()
            await leaving.done()
            await in_database(client.logout)
            await listening.done()
            assert (layer.waiting, listening.body.count(b"event: gone")) == (0, 1)

        asyncio.run(scenario())

    @pytest.mark.timeout(30)
    def test_a_stream_ends_when_the_process_is_asked_to(self, line, follower):
        client = client_of()
        cookie = f"rateguard_session={client.cookies['rateguard_session'].value}"

        async def scenario():
            caller = Caller(Waits(OneThread()), "GET", reverse("dashboard:now-live"), Cookie=cookie, Accept="text/event-stream")
            await until(lambda: caller.body)
            follower.let_go()
            await caller.done(1)
            assert caller.messages[-1].get("more_body", False) is False

        asyncio.run(scenario())


# ---- with a real web process


def streams_of(web, cookie, count):
    opened = []
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
        connection.request("GET", reverse("dashboard:now-live"), headers={"Cookie": cookie, "Accept": "text/event-stream"})
        opened.append((connection, connection.getresponse()))
    return opened


def read_until(response, text):
    heard = b""
    while text not in heard:
        heard += (line := response.readline())
        assert line, heard[-500:]
    return heard


def threads_and_connections(web):
    """Threads of the process, and its open sockets and files."""
    status = Path(f"/proc/{web.process.pid}/status").read_text()
    return int(re.search(r"Threads:\s+(\d+)", status)[1]), len(list(Path(f"/proc/{web.process.pid}/fd").iterdir()))


@pytest.mark.long
@pytest.mark.timeout(120)
def test_a_web_process_tells_of_a_new_job_and_two_hundred_streams_hold_nothing(live, start_web):
    client = client_of()
    cookie = f"rateguard_session={client.cookies['rateguard_session'].value}"
    web = start_web()
    (first, told) = streams_of(web, cookie, 1)[0]
    assert told.status == 200
    assert told.getheader("X-Accel-Buffering") == "no"
    read_until(told, b"nothing waits")
    live.line.submit()
    assert b"event: now" in read_until(told, b">1</a></dd>")
    threads, files = threads_and_connections(web)
    others = streams_of(web, cookie, 200)
    for _, response in others:
        read_until(response, b"event: now")
    more_threads, more_files = threads_and_connections(web)
    assert more_threads <= threads + 20  # those of the pool, however many listen
    assert more_files <= files + 200 + 40  # a socket each, and what the pool's threads read with
    page_of = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    page_of.request("GET", reverse("dashboard:now"), headers={"Cookie": cookie})
    assert page_of.getresponse().status == 200
    began_at = time.monotonic()
    assert web.stop() in {0, -15}
    assert time.monotonic() - began_at < 15
    assert told.read().endswith(b"\n\n")
    for caller, _ in [(first, told), *others]:
        caller.close()
