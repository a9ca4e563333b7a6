"""Waiting for a job's end: who is woken, by what, and that answers that wait hold nothing."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio
import contextlib
import threading
import time
import uuid

import orjson
import pytest
import redis
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.test import override_settings

from rateguard.api.layers.waiting import AT_ONCE, KEY, Waits
from rateguard.engine.keys import finished_channel
from rateguard.jobs.ends import follow
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.transition import end
from rateguard.jobs.models import Job
from rateguard.jobs.states import CANCEL
from tenants.keys import issue_key, revoke_key
from tenants.models import Permission
from tests.api import Api
from tests.asgi import Caller
from tests.beside import in_database, in_thread, until
from tests.following import follower, looking  # noqa: F401
from tests.simprovider import wait_for
from tests.tenancy import CHAT_MODEL, acme  # noqa: F401

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
FOREVER_S = 3_600


@pytest.fixture
def queued(transactional_db, redis_url, acme):
    """A committed job that waits."""
    return Job.objects.get(pk=Api(acme.secret).submit(HELLO).json()["id"])


def subscribers(url):
    with redis.Redis.from_url(url) as client:
        return client.pubsub_numsub(finished_channel("default"))[0][1]


def silently_end(job):
    """End it without telling anybody."""
    end(Job.objects.filter(pk=job.pk), CANCEL)


@pytest.mark.timeout(20)
class TestThreads:
    def test_who_waits_is_woken_by_the_end(self, queued, follower, redis_url, monkeypatch):
        others = subscribers(redis_url)
        monkeypatch.setattr(follow, "LOOK_AGAIN_S", FOREVER_S)  # nothing but the announcement can wake it

        def end_later():
            wait_for(lambda: subscribers(redis_url) > others and follower._look_at and not follower._unseen)
            time.sleep(0.1)  # nothing tells that the first looks are over
            cancel(queued)

        ender = in_thread(end_later)
        assert follower.wait(queued.pk, FOREVER_S)
        ender.join()

    def test_an_end_that_nobody_announced_is_seen_at_the_next_look(self, queued, follower, looking):
        ender = in_thread(lambda: looking.wait(20) and silently_end(queued))
        assert follower.wait(queued.pk, FOREVER_S)
        ender.join()

    def test_waiting_works_without_redis(self, queued, follower, looking, monkeypatch):
        monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
        ender = in_thread(lambda: looking.wait(20) and silently_end(queued))
        assert follower.wait(queued.pk, FOREVER_S)
        ender.join()

    def test_waiting_ends_with_its_time_and_leaves_nothing(self, queued, follower):
        assert not follower.wait(queued.pk, 0.05)
        assert not follower.wait(uuid.uuid4(), 0.05)
        assert not follower._waiters
        assert not follower._unseen

    def test_one_subscription_and_one_look_serve_all_and_end_with_the_process(self, queued, follower, redis_url, monkeypatch):
        others, looks, real = subscribers(redis_url), [], follow._ended_among
        monkeypatch.setattr(follow, "_ended_among", lambda ids: looks.append(ids) or real(ids))
        waiters = [in_thread(lambda: follower.wait(queued.pk, FOREVER_S)) for _ in range(5)]
        wait_for(lambda: subscribers(redis_url) == others + 1 and len(follower._waiters.get(queued.pk, ())) == 5)
        cancel(queued)
        for waiter in waiters:
            waiter.join(20)
        assert all(ids == [queued.pk] for ids in looks)
        assert len(follower._threads) == 2
        follower.stop()
        assert subscribers(redis_url) == others
        assert not follower._waiters


@pytest.mark.timeout(20)
class TestCoroutines:
    def test_an_end_before_the_wait_is_found_although_nobody_looked(self, queued, follower, monkeypatch):
        monkeypatch.setattr(follow, "LOOK_AGAIN_S", FOREVER_S)

        async def scenario():
            first = asyncio.ensure_future(follower.ended(queued.pk, FOREVER_S))  # the look of each second is behind us
            await until(lambda: follower._look_at and not follower._unseen)
            await in_database(lambda: silently_end(queued))
            return await follower.ended(queued.pk, FOREVER_S), await first

        assert asyncio.run(scenario()) == (True, True)

    def test_a_look_that_fails_is_made_again(self, queued, follower, monkeypatch):
        real, failed = follow._ended_among, []

        def fail_once(ids):
            if not failed:
                failed.append(ids)
                raise OSError("the database is away")
            return real(ids)

        silently_end(queued)
        monkeypatch.setattr(follow, "LOOK_AGAIN_S", 0.05)
        monkeypatch.setattr(follow, "_ended_among", fail_once)
        assert asyncio.run(follower.ended(queued.pk, 10))

    def test_who_waits_is_let_go_by_its_time_by_leaving_and_by_the_end_of_the_process(self, queued, follower):
        async def scenario():
            assert not await follower.ended(queued.pk, 0.05)
            leaving, staying = (asyncio.ensure_future(follower.ended(queued.pk, FOREVER_S)) for _ in range(2))
            await asyncio.sleep(0)
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
            assert len(follower._waiters[queued.pk]) == 1
            await asyncio.to_thread(follower.stop)
            return await staying, await follower.ended(queued.pk, FOREVER_S)

        assert asyncio.run(scenario()) == (False, False)
        assert not follower._waiters


# ---- the layer around Django


def asking(layer, secret, method, path, body=b"", **headers):
    return Caller(layer, method, path, body, Authorization=f"Bearer {secret}", Content_Type="application/json", **headers)


@pytest.mark.timeout(30)
class TestAnswers:
    def test_both_doors_answer_when_the_job_ends(self, queued, acme, follower):
        others = set(threading.enumerate())  # left by other tests

        async def scenario():
            layer = Waits(get_asgi_application())
            path = f"/api/v1/jobs/{queued.pk}?wait=60"
            got = asking(layer, acme.secret, "GET", path, X_Request_ID="mine")
            posted, again = (
                asking(layer, acme.secret, "POST", "/api/v1/jobs", orjson.dumps(HELLO), Prefer="wait=60", Idempotency_Key=key)
                for key in ("a", "b")
            )
            await until(lambda: layer.waiting == 3)
            assert not any(thread.name.startswith("ThreadPoolExecutor") for thread in set(threading.enumerate()) - others)
            replayed = asking(layer, acme.secret, "POST", "/api/v1/jobs", orjson.dumps(HELLO), Prefer="wait=60", Idempotency_Key="b")
            await until(lambda: layer.waiting == 4)
            await in_database(lambda: [cancel(job) for job in Job.objects.all()])
            for caller in (got, posted, again, replayed):
                assert ((await caller.done()).status, caller.json()["status"]) == (200, "cancelled")
            return got, posted, replayed

        got, posted, replayed = asyncio.run(scenario())
        assert (got.headers["x-request-id"], got.json()["id"]) == ("mine", str(queued.pk))
        assert posted.headers["location"] == f"/api/v1/jobs/{posted.json()['id']}"
        assert (posted.headers["preference-applied"], "idempotent-replayed" in posted.headers) == ("wait=60", False)
        assert posted.headers["x-request-id"] == posted.json()["request_id"]
        assert replayed.headers["idempotent-replayed"] == "true"
        assert int(posted.headers["content-length"]) == len(posted.body)

    def test_at_the_end_of_the_time_the_answer_is_the_job_as_it_is(self, queued, acme, follower):
        async def scenario():
            layer = Waits(get_asgi_application())
            posted = asking(layer, acme.secret, "POST", "/api/v1/jobs", orjson.dumps(HELLO), Prefer="wait=1")
            got = await asking(layer, acme.secret, "GET", f"/api/v1/jobs/{queued.pk}?wait=1").done()
            assert (got.status, got.json()["status"]) == (200, "queued")
            await posted.done()
            assert (posted.status, posted.json()["status"], posted.headers["preference-applied"]) == (202, "queued", "wait=1")

        asyncio.run(scenario())

    def test_who_asks_is_asked_for_the_key_again_and_what_was_accepted_stays_accepted(self, queued, acme, follower):
        submitter = issue_key(acme.tenant, "submits", permissions=[Permission.SUBMIT])[1]

        async def scenario():
            layer = Waits(get_asgi_application())
            got = asking(layer, acme.secret, "GET", f"/api/v1/jobs/{queued.pk}?wait=60")
            revoked, own = (
                asking(layer, secret, "POST", "/api/v1/jobs", orjson.dumps(HELLO), Prefer="wait=60") for secret in (acme.secret, submitter)
            )
            await until(lambda: layer.waiting == 3)
            await in_database(lambda: (revoke_key(acme.key), [cancel(job) for job in Job.objects.all()]))
            assert (await got.done()).status == 401
            assert ((await revoked.done()).status, revoked.json()["status"]) == (202, "queued")
            assert ((await own.done()).status, own.json()["status"]) == (200, "cancelled")  # although it may not read

        asyncio.run(scenario())

    def test_a_caller_who_leaves_is_forgotten_at_once(self, queued, acme, follower):
        async def scenario():
            layer = Waits(get_asgi_application())
            caller = asking(layer, acme.secret, "GET", f"/api/v1/jobs/{queued.pk}?wait=60")
            await until(lambda: layer.waiting)
            caller.leave()
            await caller.done()
            assert (layer.waiting, follower._waiters, caller.messages) == (0, {}, [])

        asyncio.run(scenario())

    @override_settings(RATEGUARD={"MAX_WAITERS": 1})
    def test_beyond_the_bound_the_answer_comes_at_once(self, queued, acme, follower):
        async def scenario():
            layer = Waits(get_asgi_application())
            first = asking(layer, acme.secret, "GET", f"/api/v1/jobs/{queued.pk}?wait=60")
            await until(lambda: layer.waiting)
            got = await asking(layer, acme.secret, "GET", f"/api/v1/jobs/{queued.pk}?wait=60").done()
            posted = await asking(layer, acme.secret, "POST", "/api/v1/jobs", orjson.dumps(HELLO), Prefer="wait=60").done()
            assert (got.status, posted.status, "preference-applied" in posted.headers) == (200, 202, False)
            first.leave()
            await first.done()

        asyncio.run(scenario())


class TestLayer:
    """The layer by itself, around applications of a few lines."""

    @staticmethod
    def answering(later=None, body=b"first"):
        async def application(scope, receive, send):
            await receive()
            if later is not None and scope["method"] == "POST":
                scope[KEY].append(later)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/plain")]})
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": scope["path"].encode()})

        return Waits(application)

    async def test_what_does_not_wait_passes_through_as_it_comes(self):
        caller = await Caller(self.answering(), "GET", "/x").done()
        assert [message.get("body") for message in caller.messages] == [None, b"first", b"/x"]

    async def test_a_question_carries_the_caller_and_nothing_of_the_first_request(self):
        seen = []

        async def later(held):
            await held.answer(await held.ask("/again"))

        layer = self.answering(later)
        inner = layer._application

        async def noting(scope, receive, send):
            seen.append({**scope})
            await inner(scope, receive, send)

        layer._application = noting
        caller = Caller(layer, "POST", "/x?wait=1", b"{}", Authorization="Bearer k", Content_Length="2", If_Match="a", Cookie="c")
        await caller.done()
        assert caller.body == b"first/again"
        question = seen[1]
        assert (question["method"], question["query_string"], KEY in question) == ("GET", b"", False)
        assert {name for name, _ in question["headers"]} == {b"host", b"authorization", b"cookie"}

    async def test_what_fails_later_gets_the_first_answer(self):
        async def later(held):
            raise ValueError(held)

        caller = await Caller(self.answering(later), "POST", "/x").done()
        assert (caller.status, caller.body) == (200, b"first/x")

    async def test_a_caller_who_leaves_while_django_is_asked_leaves_no_task_behind(self):
        asked = asyncio.Event()

        async def later(held):
            await held.ask("/slow")

        async def slow(scope, receive, send):
            await receive()
            if scope["method"] == "POST":
                scope[KEY].append(later)
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b""})
            else:
                asked.set()
                assert (await receive())["type"] == "http.disconnect"

        layer = Waits(slow)
        caller = Caller(layer, "POST", "/x")
        await asked.wait()
        caller.leave()
        await caller.done()
        await until(lambda: not layer._asked)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_a_stream_goes_out_part_by_part_until_the_caller_leaves(self):
        ended = []

        async def later(held):
            try:
                await held.send({"type": "http.response.start", "status": 200, "headers": []})
                await held.send({"type": "http.response.body", "body": b"one", "more_body": True})
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        layer = self.answering(later)
        caller = Caller(layer, "POST", "/x")
        await until(lambda: len(caller.messages) == 2)
        caller.leave()
        await caller.done()
        assert (caller.body, ended, layer.waiting) == (b"one", [True], 0)

    async def test_django_works_on_a_few_at_once_and_who_is_slow_to_send_or_to_read_is_none_of_them(self):
        at_work, most, free, slow_reader = 0, 0, asyncio.Event(), asyncio.Event()

        async def application(scope, receive, send):
            nonlocal at_work, most
            while (await receive()).get("more_body"):
                pass
            at_work += 1
            most = max(most, at_work)
            await free.wait()
            at_work -= 1
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await (slow_reader.wait() if scope["path"] == "/slow" else asyncio.sleep(0))
            await send({"type": "http.response.body", "body": b""})

        layer = Waits(application)
        unsent = [Caller(layer, "POST", "/x", has_more=True) for _ in range(AT_ONCE)]
        unread = [Caller(layer, "GET", "/slow") for _ in range(AT_ONCE)]
        await until(lambda: at_work == AT_ONCE)
        others = [Caller(layer, "GET", "/x") for _ in range(AT_ONCE)]
        free.set()
        await asyncio.gather(*(caller.done() for caller in others))
        assert most == AT_ONCE
        slow_reader.set()
        await asyncio.gather(*(caller.done() for caller in unread))
        for caller in unsent:
            caller.task.cancel()
