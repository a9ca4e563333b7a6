"""Signing in, by password or by a link that is good once, and signing out."""

from __future__ import annotations

from django.contrib import auth, messages
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from dashboard.links import use_link
from dashboard.page import open_page, trouble

BY_LINK = "django.contrib.auth.backends.ModelBackend"


class SignIn(LoginView):
    """The form for a name and a password."""

    template_name = "rateguard/signin.html"
    redirect_authenticated_user = True


sign_in = sensitive_post_parameters("password")(open_page(SignIn.as_view(next_page="dashboard:now")))


@require_GET
@open_page
def sign_in_by_link(request: HttpRequest, secret: str) -> HttpResponseBase:
    """Whoever comes with a link that is open becomes its person; the link is used up."""
    user = use_link(secret)
    if user is None:
        text = "A link signs somebody in once, and for half an hour. Make a new one in a shell: manage.py signin NAME"
        return trouble(request, 410, "This link is used or too old", text)
    auth.login(request, user, backend=BY_LINK)
    return redirect("dashboard:now")


@require_POST
@open_page
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """The session ends."""
    auth.logout(request)
    messages.success(request, "You are signed out.")
    return redirect("dashboard:signin")
