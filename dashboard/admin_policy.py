"""The admin's Content-Security-Policy: as strict as Django's admin and the theme unfold bear."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from dashboard.page import POLICY

ADMIN_POLICY = POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'").replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
"""Unfold's Alpine reads expressions from attributes, which takes eval, and its templates bring styles; no script stands inside a page.

What may be loaded, and from where, is as on our own pages: nothing from elsewhere. A popup of the admin is framed by nobody.
"""


class AdminPolicy:
    """A middleware: what the admin answers bears the policy."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        response = self._get_response(request)
        match = request.resolver_match
        if match is not None and match.app_names[:1] == ["admin"]:
            response.headers.setdefault("Content-Security-Policy", ADMIN_POLICY)
            response.headers.setdefault("Referrer-Policy", "same-origin")
        return response
