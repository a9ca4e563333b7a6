"""One granted call on its way: written, sent, read, and ended exactly once. It does no I/O: who sends tells it what came.

What the provider answers goes on to the caller byte by byte; beside that it is read by the provider's adapter, as a job's answer is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from rateguard.calls.call import CallEnded, Granted
from rateguard.calls.entrance import Entrance
from rateguard.engine.errors import ErrorKind, NotSent, ProviderError
from rateguard.engine.money import Usage, cost_nano_usd
from rateguard.engine.providers.base import Answer, Outcome, Request, Wire
from rateguard.engine.providers.http import Reply
from rateguard.engine.tokens import count_output
from rateguard.transport.prepare import Prepared, max_tokens_of
from rateguard.transport.providers import provider_of

logger = logging.getLogger(__name__)

Headers = Mapping[str, str]


class Attempt:
    """The way of one call. Every method that ends it may be called again, and then does nothing."""

    def __init__(self, prepared: Prepared, granted: Granted, entrance: Entrance) -> None:
        self.prepared = prepared
        self.place = granted.place
        self.provider = provider_of(granted.place)
        self.request = Request(prepared.asked.endpoint, prepared.asked.view, str(granted.reservation))
        self.sent_at: float | None = None
        self._granted = granted
        self._entrance = entrance
        self._has_ended = False
        self._ending = threading.Lock()

    # ---- out

    def wire(self) -> Wire:
        """The request at the deployment, without a token or signature that has to be fetched.

        Raises NotSent where the model's deployments changed meanwhile, and this one does not do it.
        """
        if self.place.id not in {one.id for one in self.prepared.able}:
            raise NotSent("the model's deployments have just changed: send the same request again")
        asked, target = self.prepared.asked, self.place.target
        return self.prepared.dialect.write(asked, target, self.provider, self.request.attempt_id, max_tokens_of(self.prepared))

    def leaves(self) -> None:
        """It is about to be written to the socket. Raises NotSent: then nothing may be written."""
        if self.sent_at is None:
            now = time.monotonic()
            self._entrance.sent(self._granted, now)
            self.sent_at = now

    # ---- back

    def headers(self, nano_usd: int | None = None) -> dict[str, str]:
        """What the answer tells beside the provider's own headers."""
        told = {"x-rateguard-attempt": self.request.attempt_id, "x-rateguard-deployment": self.place.name}
        return told if nano_usd is None else {**told, "x-rateguard-cost-nano-usd": str(nano_usd)}

    def refused(self, status: int, headers: Headers, body: bytes) -> None:
        """The provider answered with another status than 2xx."""
        error = self.provider.error(self.place.target, status, headers, body)
        error.readings = self.provider.readings(self.place.target, headers)
        self.fail(error)

    def whole(self, status: int, headers: Headers, body: bytes, answered_at: float) -> Answer | None:
        """A whole answer came; None: it is none, and the attempt failed."""
        reply = Reply(status, headers, body, self.sent_at or answered_at, answered_at)
        try:
            answer = self.provider.read(self.place.target, self.request, reply)
        except ProviderError as error:
            error.readings = self.provider.readings(self.place.target, headers)
            self.fail(error)
            return None
        self.answer(answer, headers, answered_at)
        return answer

    def usage_of(self, answer: Answer, *, is_partial: bool = False) -> Usage:
        """As the provider billed; else our own count. Of a part: what the provider said so far, and our count of what came."""
        if answer.usage is not None and not is_partial:
            return answer.usage
        told = answer.usage or Usage(input_tokens=self.prepared.counted)
        written = count_output(answer.text, self.place.target.upstream_model, self.place.target.provider)
        return dataclasses.replace(told, output_tokens=max(told.output_tokens, written), estimated=True)

    def cost_of(self, usage: Usage) -> int:
        """Nano-dollars."""
        return cost_nano_usd(self.place.price, usage)

    # ---- the end

    def answer(self, answer: Answer, headers: Headers, answered_at: float) -> None:
        """The provider answered."""
        outcome = Outcome(
            body=answer.body,
            usage=self.usage_of(answer),
            finish_reason=answer.finish_reason,
            provider_request_id=self.provider.request_id(headers),
            sent_at=self.sent_at or answered_at,
            answered_at=answered_at,
            processing_ms=self.provider.processing_ms(headers),
            readings=self.provider.readings(self.place.target, headers),
        )
        self._end(CallEnded.answered(outcome, self._latency_ms()))

    def fail(self, error: ProviderError) -> None:
        """The call failed."""
        logger.info("a call failed at %s: %s: %s", self.place.name, error.code, error)
        self._end(CallEnded.failed(error, self._latency_ms(), has_left=self.sent_at is not None))

    def stop(self, came: Usage | None = None) -> None:
        """The caller gave it up. came: what had come of a stream."""
        self._end(CallEnded.stopped(self._latency_ms(), has_left=self.sent_at is not None, came=came))

    def give_up(self) -> None:
        """Something kept it from being sent, or from being read: what has not left goes back, uncharged and unwritten."""
        if self.sent_at is not None:
            self.stop()
        elif self._begins_to_end():
            self._entrance.give_back(self._granted)

    def _end(self, ended: CallEnded) -> None:
        if self._begins_to_end():
            self._entrance.settle(self._granted, ended)

    def _begins_to_end(self) -> bool:
        with self._ending:
            is_first, self._has_ended = not self._has_ended, True
        return is_first

    def _latency_ms(self) -> int:
        return int((time.monotonic() - (self.sent_at or self._granted.granted_at)) * 1_000)


@contextlib.contextmanager
def ended(attempt: Attempt) -> Iterator[None]:
    """Whatever breaks, the attempt has an end."""
    try:
        yield
    except ProviderError as error:
        attempt.fail(error)
        raise
    except BaseException:
        attempt.give_up()
        raise


def broken(kind: ErrorKind, error: BaseException, *, within: str) -> ProviderError:
    """A connection that failed: nothing of the request is in the words. within: what broke."""
    return ProviderError(f"{within} broke: {type(error).__name__}", kind=kind, may_be_billed=kind is not ErrorKind.CONNECT)


def as_object(body: bytes) -> dict[str, Any]:
    """An answer of an adapter, as middlewares see it."""
    found: dict[str, Any] = orjson.loads(body)
    return found
