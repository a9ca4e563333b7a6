"""Headers on their way: those of the client's request as it leaves, those of the provider's answer as the caller gets them."""

from __future__ import annotations

from collections.abc import Mapping

from rateguard.engine.providers.base import Wire

_NEVER_SENT_ON = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "cookie", "x-client-request-id"}
)
_CALLERS_OWN = frozenset({"accept", "content-type", "user-agent", "anthropic-version"})
"""Where the caller says it, it is not said otherwise."""
_JOINED = "anthropic-beta"
_NOT_PASSED_BACK = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding", "set-cookie", "x-should-retry"})
"""The body goes on unpacked; a cookie is the account's; whether to ask again is decided here."""


def outgoing(given: Mapping[str, str], wire: Wire, hidden: frozenset[str]) -> dict[str, str]:
    """The headers of a request as it leaves: the deployment's credentials in place of the client's, all else as the client says."""
    headers = {name: value for name, value in given.items() if name not in _NEVER_SENT_ON and name not in hidden}
    for name, value in wire.headers.items():
        small = name.lower()
        if small == _JOINED and small in headers:
            headers[small] = ",".join(dict.fromkeys([*_listed(headers[small]), *_listed(value)]))
        elif small not in _CALLERS_OWN or small not in headers:
            headers[small] = value
    headers["accept-encoding"] = "identity"
    return headers


def incoming(status: int, given: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """The headers of an answer as the caller gets it. The client sends no failed call again: the gate decides where the next one goes."""
    hidden = _NOT_PASSED_BACK if status < 300 or status >= 400 else _NOT_PASSED_BACK | {"location"}
    headers = {name.lower(): value for name, value in given.items() if name.lower() not in hidden}
    if not 200 <= status < 300:
        headers["x-should-retry"] = "false"
    return {**headers, **ours}


def _listed(value: str) -> list[str]:
    return [one.strip() for one in value.split(",") if one.strip()]
