"""boto3's client under the gate, by botocore's own events: it still sends, with its connections, proxies and timeouts.

choose-signer      nothing is signed with the client's credentials; they may even be missing
before-send        the call enters the gate; address, signature and body become the deployment's
before-parse       the answer is read, or a stream's bytes are read beside
response-received  an exception in place of an answer
needs-retry        once more where the deployment could not be reached and there is another; never otherwise

One call runs in one thread from the first of them to the last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from rateguard.calls.entrance import entrance
from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.screening.chain import chain
from rateguard.transport.attempt import Attempt, broken, ended
from rateguard.transport.blocking import check_thread
from rateguard.transport.dialects.bedrock import BedrockDialect
from rateguard.transport.dialects.contract import Dialect
from rateguard.transport.prepare import Prepared, Who, prepare
from rateguard.transport.providers import authorized
from rateguard.transport.refusals import refusal_of
from rateguard.transport.screening import given_to, screens_answers, told_on
from rateguard.transport.tee import Tee

SERVICE = "bedrock-runtime"
BEDROCK: Dialect = BedrockDialect()
_UNSENT = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError", "SSLError"})
_TOO_LATE = frozenset({"ReadTimeoutError"})
"""botocore's exceptions by their names: it is not imported before there is a client of it."""


def hook(client: Any, who: Who) -> None:
    """Follow a client's events. Raises ConfigurationError for a client of another service, or one that holds calls back itself."""
    meta = getattr(client, "meta", None)
    if meta is None or getattr(getattr(meta, "service_model", None), "service_name", "") != SERVICE:
        raise ConfigurationError(f"attach takes boto3.client({SERVICE!r}), not {type(client).__name__}")
    if (meta.config.retries or {}).get("mode") == "adaptive":
        message = "the client's retry mode is adaptive, which holds calls back by itself: leave the mode out, the gate does that"
        raise ConfigurationError(message)
    gated = _Gated(who)
    events = meta.events
    events.unregister(f"needs-retry.{SERVICE}", unique_id=f"retry-config-{SERVICE}")
    followed = [
        (events.register_first, "choose-signer", gated.unsigned),
        (events.register_last, "before-send", gated.before_send),
        (events.register, "before-parse", gated.before_parse),
        (events.register, "response-received", gated.received),
        (events.register, "needs-retry", gated.needs_retry),
    ]
    for register, event, handler in followed:
        events.unregister(f"{event}.{SERVICE}", unique_id=f"rateguard-{event}")  # of an earlier `attach`, which this one replaces
        register(f"{event}.{SERVICE}", handler, unique_id=f"rateguard-{event}")


class _UnderWay(threading.local):
    """What this thread's call has come to. again: the call to be made once more, without the deployment that could not be reached."""

    attempt: Attempt | None = None
    again: Prepared | None = None


class _Gated:
    """One client."""

    def __init__(self, who: Who) -> None:
        self._who = who
        self._under_way = _UnderWay()

    def unsigned(self, **_: Any) -> Any:
        """The deployment's credentials sign."""
        import botocore  # noqa: PLC0415 - there is a client of it

        return botocore.UNSIGNED

    def before_send(self, request: Any, **_: Any) -> Any:
        """Enter the gate, and make the request the deployment's; an answer in its place where it is refused."""
        self._give_up()
        try:
            check_thread()
            prepared, self._under_way.again = self._under_way.again or self._prepared(request), None
            door = entrance()
            attempt = Attempt(prepared, door.enter_blocking(prepared.call_as(door.new_id()), self._who.patience_s), door)
            with ended(attempt):
                self._rewrite(request, attempt)
        except Exception as error:  # noqa: BLE001 - the client raises it as its own
            return _refused(request.url, error)
        self._under_way.attempt = attempt
        return None

    def _prepared(self, request: Any) -> Prepared:
        path = request.url.partition("?")[0]
        body = request.body if isinstance(request.body, bytes) else bytes(request.body or b"")
        return prepare(BEDROCK, BEDROCK.asked(request.method, path, body), self._who)

    def _rewrite(self, request: Any, attempt: Attempt) -> None:
        from botocore.awsrequest import HeadersDict  # noqa: PLC0415 - as above

        wire = authorized(attempt.provider, attempt.place.target, attempt.wire())
        agent = request.headers.get("User-Agent", "")
        request.url, request.body = wire.url, wire.body
        request.headers = HeadersDict({"User-Agent": agent, "Accept-Encoding": "identity", **wire.headers})
        attempt.leaves()

    def before_parse(self, response_dict: dict[str, Any], **_: Any) -> None:
        """Read what the provider answered; a stream goes on under ours. Raises botocore's ClientError where middlewares refuse it."""
        attempt, self._under_way.attempt = self._under_way.attempt, None
        if attempt is None:
            return
        status, headers, body, now = response_dict["status_code"], response_dict["headers"], response_dict["body"], time.monotonic()
        told = attempt.headers()
        with ended(attempt):
            if not 200 <= status < 300:
                attempt.refused(status, headers, body)
            elif attempt.prepared.asked.is_streamed:
                response_dict["body"] = self._streamed(attempt, GatedBody(body, Tee(attempt, headers, now)))
            elif (answer := attempt.whole(status, headers, body, now)) is not None:
                told = attempt.headers(attempt.cost_of(attempt.usage_of(answer)))
                if screens_answers():
                    _screen(attempt, answer.body, body)
        headers.update(told)

    def _streamed(self, attempt: Attempt, body: GatedBody) -> Any:
        if not screens_answers():
            return body
        pieces = list(body.stream())
        if body.tee.failure is not None:
            raise _client_error(attempt, body.tee.failure)
        _screen(attempt, body.tee.whole_body(), b"".join(pieces))
        return _Pieces(pieces)

    def received(self, exception: Exception | None, **_: Any) -> None:
        """The connection broke, before or after the request left."""
        attempt, self._under_way.attempt = self._under_way.attempt, None
        if attempt is None or exception is None:
            return
        failure = _as_broken(exception)
        attempt.fail(failure)
        if failure.kind is ErrorKind.CONNECT:
            self._under_way.again = attempt.prepared.without(attempt.place)

    def needs_retry(self, **_: Any) -> int | None:
        """Seconds until it is sent once more; None: it is not."""
        return None if self._under_way.again is None else 0

    def _give_up(self) -> None:
        """A call of this thread was broken off between two events."""
        attempt, self._under_way.attempt = self._under_way.attempt, None
        if attempt is not None:
            attempt.give_up()


class GatedBody:
    """A stream's body that is read beside. botocore reads `stream()` and closes it."""

    def __init__(self, raw: Any, tee: Tee) -> None:
        self.tee = tee
        self._raw = raw

    def stream(self, *given: Any, **options: Any) -> Iterator[bytes]:
        """The body as the network brings it."""
        try:
            for piece in self._raw.stream(*given, **options):
                yield self.tee.feed(piece)
        except Exception as error:
            self.tee.broke(_as_broken(error))
            raise
        self.tee.finish()

    def close(self) -> None:
        """The caller reads no more."""
        self.tee.leave()
        self._raw.close()


class _Pieces:
    """A body that was kept back until middlewares had seen it."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        self._pieces = []


def _screen(attempt: Attempt, answer: bytes, body: bytes) -> None:
    """Raises botocore's ClientError where a middleware refuses an answer, or changes one that it cannot."""
    try:
        told_on(attempt, answer, body, chain().after_here(*given_to(attempt, answer)), is_streamed=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets no answer
        raise _client_error(attempt, error) from None


def _client_error(attempt: Attempt, error: Exception) -> Exception:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

    refusal = refusal_of(error)
    headers, _ = BEDROCK.refused(refusal)
    told = {
        "Error": {"Code": headers["x-amzn-errortype"], "Message": refusal.message},
        "ResponseMetadata": {"HTTPStatusCode": refusal.status, "HTTPHeaders": {**headers, **attempt.headers()}, "RetryAttempts": 0},
    }
    found: Exception = ClientError(told, "ConverseStream" if attempt.prepared.asked.is_streamed else "Converse")
    return found


def _refused(url: str, error: Exception) -> Any:
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - as above

    refusal = refusal_of(error)
    headers, body = BEDROCK.refused(refusal)
    return AWSResponse(url, refusal.status, headers, _Pieces([body]))


def _as_broken(error: Exception) -> ProviderError:
    name = type(error).__name__
    if name in _UNSENT:
        return broken(ErrorKind.CONNECT, error, within="the connection")
    return broken(ErrorKind.TIMEOUT if name in _TOO_LATE else ErrorKind.NETWORK, error, within="the call")
