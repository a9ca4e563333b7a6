"""The sender of webhook messages: a task in every worker. It holds what is due, posts it, and writes what became of it.

It sleeps until somebody wakes it (`messages.wake`, the caretaker) or the next message is due. Each endpoint has a few places and no more,
and one that fails over and over is left alone for up to a minute, then tried with one message: a receiver that is dead holds up no other.
A connection is refused where its address is none that may be reached, whatever its name had said before; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
import ssl
import time
from functools import partial
from typing import Any

import aiohttp
from django.db import Error, connection
from standardwebhooks import Webhook

import rateguard
from rateguard.conf import conf, is_production
from rateguard.engine.providers.retry_after import retry_after_ms
from rateguard.holding.database import DatabaseThread
from rateguard.jobs.ends import messages
from rateguard.jobs.ends.messages import Failure, Held
from tenants.reachable import may_reach

logger = logging.getLogger(__name__)

AT_ONCE = 64
AT_ONCE_EACH = 8
"""Messages under way of one process, and of one endpoint in it."""
FAILURES_TO_REST = 3
LONGEST_REST_S = 60.0
LONGEST_SLEEP_S = 60.0
AWAY_S = 2.0
"""After the database did not answer."""
LEAVE_S = 2.0
"""What is under way when the worker leaves has so long; another sends the rest when its hold has run out."""
MOST_READ_BYTES = 2_048
GONE = 410


class Unreachable(OSError):
    """The address is none that a webhook may be sent to."""


@dataclasses.dataclass(slots=True)
class Standing:
    """How an endpoint stands with this process. under_way: messages; failures: since the last that arrived; rests_until: monotonic."""

    under_way: int = 0
    failures: int = 0
    rests_until: float = 0.0

    def room(self, now: float) -> int:
        """How many more may be sent; of one that failed over and over one alone."""
        if now < self.rests_until:
            return 0
        return max(0, (1 if self.failures >= FAILURES_TO_REST else AT_ONCE_EACH) - self.under_way)


class WebhookSender:
    """One a worker. Made on the event loop that it runs on."""

    def __init__(self) -> None:
        self._database = DatabaseThread()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._standings: dict[int, Standing] = {}
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def start(self) -> None:
        """Begin to send."""
        self._sessions = {is_plain: _session(is_plain=is_plain) for is_plain in (False, True)}
        messages.listen(self.wake)
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """Hold nothing new; what is under way has LEAVE_S."""
        messages.unlisten(self.wake)
        self._is_stopping = True
        self._woken.set()
        under_way = {*self._sending, *([self._task] if self._task else [])}
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=LEAVE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for session in self._sessions.values():
            await session.close()
        closing = self._loop.run_in_executor(None, self._database.close)
        await asyncio.wait([closing], timeout=LEAVE_S)  # a database that is gone keeps nobody

    def wake(self) -> None:
        """Look for what is due. From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._woken.set)
        except RuntimeError:  # the loop is closed: another process sends
            messages.unlisten(self.wake)

    # ---- the loop

    async def _run(self) -> None:
        while not self._is_stopping:
            self._woken.clear()
            try:
                sleep_s = await self._round()
            except Error as error:
                logger.warning("webhook messages are sent later: %s", error)
                sleep_s = AWAY_S
            except Exception:
                logger.exception("a look for webhook messages failed")
                sleep_s = AWAY_S
            if not self._is_stopping:
                await _woken_within(self._woken, sleep_s)

    async def _round(self) -> float:
        """Send all that is due and has room. Returns after how many seconds to look again."""
        while not self._is_stopping and len(self._sending) < AT_ONCE:
            now = time.monotonic()
            full = [endpoint for endpoint, one in self._standings.items() if not one.room(now)]
            found = await self._database.run(messages.hold, AT_ONCE - len(self._sending), partial(self._room, now), full)
            for held in found:
                self._standing(held.endpoint).under_way += 1
                task = self._loop.create_task(self._deliver(held))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            if not found:
                break
        rests = [one.rests_until - time.monotonic() for one in self._standings.values() if one.rests_until > time.monotonic()]
        return min([await self._database.run(_next_in_s, not self._sending), *rests])

    def _room(self, now: float, endpoint: int) -> int:
        return self._standing(endpoint).room(now)

    def _standing(self, endpoint: int) -> Standing:
        return self._standings.setdefault(endpoint, Standing())

    # ---- one message

    async def _deliver(self, held: Held) -> None:
        """Send it and write what became of it. What cannot be written is sent again when the hold has run out."""
        try:
            outcome = Failure(held.trouble) if held.trouble else await self._post(held)
            self._note(held.endpoint, has_failed=isinstance(outcome, Failure))
            await self._database.run(_write, held, outcome)
        except Error as error:
            logger.warning("what became of webhook message %s is not written, it is sent again: %s", held.id, error)
        finally:
            self._leave(held.endpoint)
            self._woken.set()

    async def _post(self, held: Held) -> int | Failure:
        """The status of an answer that takes it, or why it did not arrive."""
        body, limit_s = held.body.encode(), conf().webhook_timeout_s
        session = self._sessions[held.url.lower().startswith("http:")]
        try:
            async with session.post(held.url, data=body, headers=signed(held), allow_redirects=False) as response:
                if response.ok and response.status < 300:
                    return response.status
                said = (await response.content.read(MOST_READ_BYTES)).decode(errors="replace")
                return _refused(response, said)
        except TimeoutError:
            return Failure(f"no answer within {limit_s} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Failure(_in_words(error))

    def _note(self, endpoint: int, *, has_failed: bool) -> None:
        one = self._standing(endpoint)
        if not has_failed:
            one.failures, one.rests_until = 0, 0.0
            return
        one.failures += 1
        if one.failures >= FAILURES_TO_REST:
            one.rests_until = time.monotonic() + min(2.0 ** min(one.failures - FAILURES_TO_REST, 10), LONGEST_REST_S)

    def _leave(self, endpoint: int) -> None:
        one = self._standing(endpoint)
        one.under_way -= 1
        if not one.under_way and not one.failures:
            del self._standings[endpoint]


# ---- what a message looks like on its way


def signed(held: Held) -> dict[str, str]:
    """The headers of Standard Webhooks: a signature by each secret in force, over the id, the time and the body."""
    name = f"msg_{held.id}"
    signatures = [Webhook(secret).sign(msg_id=name, timestamp=held.at, data=held.body) for secret in held.secrets]
    return {
        "content-type": "application/json",
        "user-agent": f"rateguard/{rateguard.__version__}",
        "webhook-id": name,
        "webhook-timestamp": str(int(held.at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _session(*, is_plain: bool) -> aiohttp.ClientSession:
    """is_plain: for addresses of http, which in production lead to allowed networks alone. No cookies, no proxies, nothing unpacked."""
    is_bound = is_plain and is_production()
    connector = aiohttp.TCPConnector(limit=AT_ONCE, use_dns_cache=False, socket_factory=partial(checked_socket, is_plain=is_bound))
    timeout = aiohttp.ClientTimeout(total=conf().webhook_timeout_s)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


def checked_socket(address: Any, *, is_plain: bool = False) -> socket.socket:
    """A socket for the very address that it will connect to. address: as `getaddrinfo` says it. Raises Unreachable."""
    family, kind, protocol, _, place = address
    if not may_reach(str(place[0]), is_plain=is_plain):
        raise Unreachable("the address is not public")
    return socket.socket(family=family, type=kind, proto=protocol)


def _refused(response: aiohttp.ClientResponse, said: str) -> Failure:
    what = "HTTP %d, and redirects are not followed" if 300 <= response.status < 400 else "HTTP %d"
    wait_ms = retry_after_ms(response.headers) if response.headers.get("retry-after") else None
    return Failure(f"{what % response.status}{f': {said}' if said.strip() else ''}", response.status, (wait_ms or 0) / 1_000)


def _in_words(error: Exception) -> str:
    """What is wrong, without telling a tenant more of our network than what it asked for."""
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, Unreachable) or "the address is not public" in str(error):
        return "its host has no public address: whoever runs the service may allow its network (WEBHOOK_NETWORKS)"
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return "its certificate is not valid, or it does not speak TLS"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host has no address"
    return f"no connection ({type(cause).__name__})"


# ---- in the database's thread


def _next_in_s(is_idle: bool) -> float:
    """When the next is due; without anything under way the connection goes meanwhile."""
    found = messages.next_in_s(LONGEST_SLEEP_S)
    if is_idle and found > 1:
        connection.close()
    return found


def _write(held: Held, outcome: int | Failure) -> None:
    if isinstance(outcome, int):
        messages.delivered(held, outcome)
    elif outcome.status == GONE:
        messages.gone(held, outcome)
        logger.warning("the webhook endpoint %d says that it is gone: it is disabled", held.endpoint)
    elif messages.failed(held, outcome):
        logger.warning("webhook message %s of endpoint %d is dead after %d tries", held.id, held.endpoint, held.number)


async def _woken_within(woken: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(woken.wait(), seconds)
    except TimeoutError:
        return
