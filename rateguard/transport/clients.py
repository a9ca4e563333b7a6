"""What a user writes: an HTTP client for an official client, or a hook for boto3's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rateguard.engine.errors import ConfigurationError, InvalidRequest
from rateguard.engine.providers.http import KEEPALIVE_S

if TYPE_CHECKING:
    from rateguard.transport.prepare import Who

WORDS = ("tenant", "user", "team", "rolegroup", "role", "cost_center", "labels", "lane", "run", "session")
"""All that may be said of a client's calls; the rest of it is said by the contexts and runs around a call."""
MOST_CONNECTIONS = 1_000
MOST_IDLE = 100
LONGEST_WAIT_S = 86_400.0


def http_client(
    *, wait_s: float | None = None, max_tokens: int | None = None, library: str | None = None, through: Any = None, **said: Any
) -> Any:
    """An HTTP client under the gate, for `openai.OpenAI(http_client=…)` and `anthropic.Anthropic(http_client=…)`.

    said: tenant, user, team, rolegroup, role, cost_center, labels, lane, run, session, as `.delay()` has them; what is left out the
    contexts and runs around a call say. wait_s: how long a call may wait at the gate; by default TRANSPORT_WAIT_S. max_tokens: put in
    where a request says no length; by default DEFAULT_MAX_TOKENS. library: `httpx2` or `httpx`; by default what is installed, in this
    order. through: a `Client` of that library with proxies, certificates or connections of one's own.

    Raises InvalidRequest, ConfigurationError.
    """
    from rateguard.transport.libraries import library as module_named  # noqa: PLC0415 - Django must be ready, the library there
    from rateguard.transport.libraries import made_for  # noqa: PLC0415

    who, module = who_of(said, wait_s, max_tokens), module_named(library)
    from rateguard.transport.blocking import GatedTransport  # noqa: PLC0415

    inner = _inner(module, "Client", through)
    transport = made_for(module, GatedTransport, "BaseTransport")(who, inner, module)
    return module.Client(transport=transport)


def async_http_client(
    *, wait_s: float | None = None, max_tokens: int | None = None, library: str | None = None, through: Any = None, **said: Any
) -> Any:
    """The same for `openai.AsyncOpenAI` and `anthropic.AsyncAnthropic`; through: an `AsyncClient`."""
    from rateguard.transport.libraries import library as module_named  # noqa: PLC0415 - as above
    from rateguard.transport.libraries import made_for  # noqa: PLC0415

    who, module = who_of(said, wait_s, max_tokens), module_named(library)
    from rateguard.transport.asynchronous import AsyncGatedTransport  # noqa: PLC0415

    inner = _inner(module, "AsyncClient", through)
    transport = made_for(module, AsyncGatedTransport, "AsyncBaseTransport")(who, inner, module)
    return module.AsyncClient(transport=transport)


def attach(client: Any, *, wait_s: float | None = None, max_tokens: int | None = None, **said: Any) -> None:
    """Put a boto3 client of `bedrock-runtime` under the gate: its Converse and ConverseStream from now on. The rest as `http_client`.

    The client's own retries end with it. Raises InvalidRequest, ConfigurationError.
    """
    who = who_of(said, wait_s, max_tokens)
    from rateguard.transport.botocore_hook import hook  # noqa: PLC0415 - Django must be ready

    hook(client, who)


def who_of(said: Mapping[str, Any], wait_s: float | None, max_tokens: int | None) -> Who:
    """Checked when the client is made, not at its first call. Raises InvalidRequest, ConfigurationError."""
    from django.apps import apps  # noqa: PLC0415 - nothing of Django is loaded by importing this module

    if not apps.ready:
        raise ConfigurationError("Django is not set up: in a script, call django.setup() before rateguard.transport makes a client")
    from rateguard.python.context import checked  # noqa: PLC0415
    from rateguard.python.within import as_run_id  # noqa: PLC0415
    from rateguard.transport.prepare import Who  # noqa: PLC0415

    if unknown := sorted(set(said) - set(WORDS)):
        raise InvalidRequest(f"a client says {', '.join(WORDS)}; not {', '.join(unknown)}", code="invalid_field")
    if wait_s is not None and (isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not 0 <= wait_s <= LONGEST_WAIT_S):
        raise InvalidRequest(f"wait_s is {wait_s!r}: write seconds from 0 to {LONGEST_WAIT_S:g}", code="invalid_field")
    if max_tokens is not None and (isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1):
        raise InvalidRequest(f"max_tokens is {max_tokens!r}: write a whole number from 1", code="invalid_field")
    given = {word: value for word, value in said.items() if value is not None}
    apart: dict[str, Any] = {word: given.pop(word) for word in ("run", "session") if word in given}
    if "run" in apart:
        apart["run"] = as_run_id(apart["run"])
    return Who({**checked(given), **apart}, wait_s, max_tokens)


def _inner(module: Any, kind: str, through: Any) -> Any:
    """The client that really sends: it knows the proxies of the environment, and the time that each request is given."""
    wanted = getattr(module, kind)
    if through is None:
        limits = module.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_IDLE, keepalive_expiry=KEEPALIVE_S)
        return wanted(limits=limits)
    if not isinstance(through, wanted):
        raise ConfigurationError(f"through is a {module.__name__}.{kind}, not {type(through).__name__}")
    return through
