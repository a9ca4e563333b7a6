"""Whose guesses a lock counts: the address of whoever asks, also behind a proxy."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

FORWARDED = "X-Forwarded-For"
"""Each proxy writes at its end the address that asked it; what stands before that, anybody may have written."""


def of_client(request: HttpRequest) -> str:
    """The address that the proxy in front was asked from, where the settings say that there is one; else the connection's."""
    if settings.SECURE_PROXY_SSL_HEADER is not None:
        *_, last = request.headers.get(FORWARDED, "").split(",")
        if last.strip():
            return _without_port(last.strip())
    return str(request.META.get("REMOTE_ADDR") or "")


def _without_port(address: str) -> str:
    """Some proxies write `192.0.2.7:5123` and `[2001:db8::7]:5123`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
