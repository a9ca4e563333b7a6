"""The dispatcher in front of Django: who gets which path, and who lives how long."""

import asyncio

from rateguard.asgi import Dispatcher


async def answer(scope, receive, send):
    """An application that says its name."""
    await send({"type": "answered", "by": scope["by"]})


def named(name):
    async def application(scope, receive, send):
        await answer({**scope, "by": name}, receive, send)

    return application


def nothing():
    """Start or stop nothing."""


def ask(dispatcher, scope, *received):
    """What a connection gets."""
    sent, pending = [], list(received)

    async def receive():
        return pending.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(dispatcher(scope, receive, send))
    return sent


def dispatcher(**hooks):
    mounts = {"/v1": named("gateway"), "/v1/admin": named("other")}
    return Dispatcher(named("django"), mounts, **{"on_start": nothing, "on_stop": nothing, **hooks})


def test_the_longest_prefix_that_ends_at_a_slash_gets_the_request_and_django_the_rest():
    paths = ["/v1", "/v1/chat", "/v1x", "/v1/admin/a", "/", "/api/v1"]
    answers = [ask(dispatcher(), {"type": "http", "path": path})[0]["by"] for path in paths]
    assert answers == ["gateway", "gateway", "django", "other", "django", "django"]


def test_the_process_starts_and_stops_with_the_server():
    happened = []
    hooks = {"on_start": lambda: happened.append("start"), "on_stop": lambda: happened.append("stop")}
    sent = ask(dispatcher(**hooks), {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert happened == ["start", "stop"]
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_start_that_fails_ends_the_server_and_says_why():
    sent = ask(dispatcher(on_start=lambda: 1 / 0), {"type": "lifespan"}, {"type": "lifespan.startup"})
    assert sent == [{"type": "lifespan.startup.failed", "message": "division by zero"}]


def test_a_websocket_is_closed():
    assert ask(dispatcher(), {"type": "websocket", "path": "/"}) == [{"type": "websocket.close", "code": 1000}]
