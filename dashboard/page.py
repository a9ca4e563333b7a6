"""What all pages have in common: who may see them, how they are protected, what an error looks like."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render, resolve_url
from django.views.decorators.csrf import csrf_protect

from rateguard.engine.errors import InvalidRequest, NotAllowed
from tenants.access import Access, Power, access_of

logger = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing but our own files, and no script or style inside a page."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}

View = Callable[..., HttpResponseBase]


def page(view: View) -> View:
    """A view for who is signed in and sees something: `view(request, access, **parts of the address)`.

    InvalidRequest becomes a page with status 400, NotAllowed 403, Http404 404, DatabaseError 503: each says what to do.
    """
    return _guarded(functools.partial(_answer, view), view)


def open_page(view: View) -> View:
    """A view for everybody, such as the one to sign in: `view(request, **parts of the address)`, as protected as the others."""
    return _guarded(view, view)


def person_page(view: View) -> View:
    """A view for who is signed in, whatever they may see: `view(request, **parts of the address)`."""

    def inner(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return view(request, **kwargs) if request.user.is_authenticated else asked_to_sign_in(request)

    return _guarded(inner, view)


def _guarded(answer: View, view: View) -> View:
    @csrf_protect
    @functools.wraps(view)
    def inner(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        try:
            return protected(answer(request, **kwargs))
        except DatabaseError:
            logger.exception("a page could not be made")
            text = "Nothing is lost. Load the page again in a moment."
            return protected(trouble(request, 503, "The database does not answer", text, with_person=False))

    return inner


def protected(response: HttpResponseBase) -> HttpResponseBase:
    """The same answer with the headers that protect a page."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def trouble(request: HttpRequest, status: int, title: str, text: str, *, with_person: bool = True) -> HttpResponse:
    """A page that says what is wrong and what to do. with_person: False where the database, which knows who asks, does not answer."""
    frame = framed(request) if with_person else {"person": "", "messages": ()}
    return render(request, "rateguard/trouble.html", {"title": title, "text": text, "access": None, **frame}, status=status)


def framed(request: HttpRequest) -> dict[str, Any]:
    """What the frame of every page shows of who is signed in."""
    user = request.user
    return {"person": user.get_username() if user.is_authenticated else "", "has_password_page": signs_in_here()}


def signs_in_here() -> bool:
    """Whether people sign in by our page; a project may have its own, as its LOGIN_URL says."""
    is_said = settings.is_overridden("LOGIN_URL")  # type: ignore[misc]  # it is a method, not a setting
    return not is_said or resolve_url(settings.LOGIN_URL) == resolve_url("dashboard:signin")


def _answer(view: View, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
    if not request.user.is_authenticated:
        return asked_to_sign_in(request)
    access = access_of(request.user)
    if access.is_nobody:
        text = "You belong to no tenant. Ask an owner of your tenant, or whoever runs this service, to make you a member."
        return trouble(request, 403, "There is nothing here for you yet", text)
    try:
        return view(request, access, **kwargs)
    except Http404:
        return trouble(request, 404, "There is no such page", "It may be gone, or belong to a tenant that is not yours.")
    except InvalidRequest as error:
        is_forbidden = isinstance(error, NotAllowed)
        return trouble(request, 403 if is_forbidden else 400, "You may not do this" if is_forbidden else "This cannot be done", str(error))


def asked_to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """A part of a page cannot show a form: the next click does."""
    if request.headers.get("HX-Request") or "text/event-stream" in request.headers.get("Accept", ""):
        return HttpResponse(status=401)
    return redirect_to_login(request.get_full_path(), resolve_url("dashboard:signin" if signs_in_here() else settings.LOGIN_URL))


def shown(request: HttpRequest, access: Access, template: str, **context: Any) -> HttpResponse:
    """A page from its template. Every template knows `access` and `may_manage`."""
    frame = {"access": access, "may_manage": access.may_anywhere(Power.MANAGE), **framed(request)}
    return render(request, f"rateguard/{template}.html", {**frame, **context})
