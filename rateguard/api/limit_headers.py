"""What a refusal by a limit says in headers: when to come again, and how the limit stands.

`Retry-After` is RFC 9110's; `RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers (its version 10), as
structured fields (RFC 9651): `RateLimit-Policy: "team:ml";q=600;w=60`, `RateLimit: "team:ml";r=0;t=31`.
"""

from __future__ import annotations

from urllib.parse import quote

from rateguard.engine.errors import LimitInTheWay

MOST_INTEGER = 999_999_999_999_999
"""The largest integer of a structured field."""

_AS_THEY_ARE = " !#$&'()*+,/:;<=>?@[]^`{|}~"
"""What else stands in a structured field's text as it is; a percent sign, quotes and what is not ASCII are percent-encoded."""


def limit_headers(refusal: LimitInTheWay) -> dict[str, str]:
    """The headers of a refusal. What the caller may not see, and what nobody knows, is left out."""
    headers = {}
    name = f'"{quote(":".join(filter(None, (refusal.scope_kind, refusal.scope))), safe=_AS_THEY_ARE)}"'
    wait_s = None if refusal.retry_after_ms is None else seconds_up(refusal.retry_after_ms)
    if wait_s is not None:
        headers["Retry-After"] = str(wait_s)
    if refusal.amount is not None:
        window = f";w={seconds_up(refusal.window_ms)}" if refusal.window_ms else ""
        headers["RateLimit-Policy"] = f"{name};q={_quota(refusal.amount, refusal.unit)}{_unit(refusal.unit)}{window}"
    headers["RateLimit"] = f"{name};r={_quota(refusal.left or 0, refusal.unit)}{'' if wait_s is None else f';t={wait_s}'}"
    return headers


def seconds_up(ms: int) -> int:
    """Whole seconds, rounded up, at least one: who comes then does not come too early."""
    return max(1, -(-ms // 1000))


def _quota(amount: int, unit: str) -> int:
    """Money in millionths of a dollar, so that the largest budget is an integer of a structured field."""
    return min(max(0, amount // 1000 if unit == "nano_usd" else amount), MOST_INTEGER)


def _unit(unit: str) -> str:
    """Requests are what is counted where nothing is said."""
    return {"requests": "", "nano_usd": ';qu="micro-usd"'}.get(unit, f';qu="{unit}"')
