"""The way of one call to a provider and back, as far as it is the same for clients that wait and clients on an event loop. No I/O."""

from __future__ import annotations

from typing import Any

from rateguard.engine.errors import ErrorKind, NotSent
from rateguard.engine.providers.base import Answer, Wire
from rateguard.transport.attempt import Attempt
from rateguard.transport.doors import is_answer, leaving, passed_on
from rateguard.transport.libraries import as_broken
from rateguard.transport.prepare import Prepared, Who
from rateguard.transport.tee import Tee


class Way:
    """To a provider and back."""

    is_async: bool

    def __init__(self, module: Any, through: Any, request: Any, who: Who) -> None:
        self._module = module
        self._through = through
        self._request = request
        self._who = who

    def _sending(self, attempt: Attempt, wire: Wire) -> Any:
        """`through` sends it: a coroutine on an event loop."""
        going = leaving(self._module, self._request, wire, attempt, is_async=self.is_async)
        return self._through.send(going, stream=True, auth=None, follow_redirects=False)

    def _elsewhere(self, prepared: Prepared, attempt: Attempt, error: Exception) -> Prepared | None:
        """It was not sent, or its connection broke: its attempt ends. The call without a deployment that could not be reached; or None."""
        failure = error if isinstance(error, NotSent) else as_broken(self._module, error, attempt)
        attempt.fail(failure)
        return prepared.without(attempt.place) if failure.kind is ErrorKind.CONNECT else None

    def _read(self, attempt: Attempt, response: Any, body: bytes, answered_at: float) -> Answer | None:
        """A whole body came, and its attempt ends. None: it is no answer."""
        if not is_answer(response):
            attempt.refused(response.status_code, response.headers, body)
            return None
        return attempt.whole(response.status_code, response.headers, body, answered_at)

    def _passed_on(self, attempt: Attempt, response: Any, body: bytes, answer: Answer | None) -> Any:
        """A whole body for the caller, with what it cost where it is an answer."""
        cost = None if answer is None else attempt.cost_of(attempt.usage_of(answer))
        return passed_on(self._module, response, attempt, body, cost)


class Beside:
    """A stream that is read beside."""

    def __init__(self, module: Any, response: Any, tee: Tee, attempt: Attempt) -> None:
        self._module = module
        self._response = response
        self._tee = tee
        self._attempt = attempt

    @property
    def _is_packed(self) -> bool:
        """Whether the caller's bytes are to be unpacked first."""
        return "content-encoding" in self._response.headers

    def _broke(self, error: Exception) -> None:
        """The connection died within it."""
        self._tee.broke(as_broken(self._module, error, self._attempt))
