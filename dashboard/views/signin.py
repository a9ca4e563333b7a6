"""Signing in, by password or by a link that is good once, and signing out."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from dashboard.links import is_of, use_link
from dashboard.page import framed, open_page, protected, trouble
from tenants.access import access_of

CAME_BY_LINK = "rateguard_came_by_link"
"""In a session: who came by a link may set a password without knowing the old one."""


class SignIn(LoginView):
    """The form for a name and a password."""

    template_name = "rateguard/signin.html"
    redirect_authenticated_user = True
    next_page = "dashboard:now"

    def get_redirect_url(self) -> str:  # type: ignore[override]  # the stubs are of a later Django
        """Where the form was asked for, on this server and not this form again; "" for the first page."""
        found = super().get_redirect_url()
        return "" if urlsplit(found).path.startswith(resolve_url("dashboard:signin")) else found

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the frame shows."""
        return {**super().get_context_data(**kwargs), **framed(self.request)}

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign them in, in a session of its own."""
        forget_old_sessions()
        return super().form_valid(form)


sign_in = sensitive_post_parameters("password")(open_page(SignIn.as_view()))


@require_GET
@open_page
def sign_in_by_link(request: HttpRequest, secret: str) -> HttpResponseBase:
    """Whoever comes with a link that is open becomes its person; the link is used up."""
    if _is_only_looked_at(request):
        return HttpResponse(status=503)
    user = use_link(secret)
    if user is None:
        if is_of(secret, request.user):
            return redirect("dashboard:now")
        text = "A link signs somebody in once, and for a short time. Whoever runs this service makes a new one: manage.py signin NAME"
        return trouble(request, 410, "This link is used or too old", text)
    forget_old_sessions()
    auth.login(request, user, backend=_backend())
    request.session[CAME_BY_LINK] = True
    is_new = not user.has_usable_password() and not access_of(user).is_operator  # who has the shell makes the next link too
    return redirect("dashboard:password" if is_new else "dashboard:now")


@require_POST
@open_page
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """The session ends."""
    auth.logout(request)
    messages.success(request, "You are signed out.")
    return redirect("dashboard:signin")


def locked(request: HttpRequest, _response: HttpResponse | None = None, _credentials: Any = None) -> HttpResponseBase:
    """What django-axes answers where too many passwords were wrong (its AXES_LOCKOUT_CALLABLE)."""
    wait_s = int(settings.AXES_COOLOFF_TIME.total_seconds())
    response = render(request, "rateguard/locked.html", {"minutes": -(-wait_s // 60), "person": ""}, status=429)
    response.headers["Retry-After"] = str(wait_s)
    return protected(response)


def forget_old_sessions() -> None:
    """Each sign-in takes the sessions along that are over: nothing else does."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()


def _is_only_looked_at(request: HttpRequest) -> bool:
    """A browser that fetches ahead of a click, or shows what lies behind a link, uses nothing up."""
    return "prefetch" in f"{request.headers.get('Sec-Purpose', '')} {request.headers.get('Purpose', '')}"


def _backend() -> str:
    """Django's own of the project's ways to sign in, else the last of them; the session names it."""
    named = list(zip(settings.AUTHENTICATION_BACKENDS, auth.get_backends(), strict=True))
    return next((name for name, backend in named if isinstance(backend, ModelBackend)), named[-1][0])
