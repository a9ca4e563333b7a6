"""A password of one's own: changed by who knows the old one, set by who came by a link."""

from __future__ import annotations

from typing import Any

from django.contrib import auth, messages
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from dashboard.page import framed, person_page
from dashboard.views.signin import CAME_BY_LINK
from tenants.access import Power, access_of

MOST_TRIES = 5
"""Of an old password, before the session ends: whoever found a browser open shall not guess on."""
_TRIES = "rateguard_password_tries"


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("old_password", "new_password1", "new_password2")
@person_page
def password(request: HttpRequest) -> HttpResponseBase:
    """GET: the form. POST: the new password; every other session of this person ends."""
    user: Any = request.user
    is_first = not user.has_usable_password()
    is_known = not is_first and not request.session.get(CAME_BY_LINK)
    form = (PasswordChangeForm if is_known else SetPasswordForm)(user, request.POST or None)
    if request.method != "POST":
        return _shown(request, form, is_first=is_first)
    if not form.is_valid():
        return _refused(request, form, is_first=is_first)
    form.save()
    auth.update_session_auth_hash(request, user)
    for name in (CAME_BY_LINK, _TRIES):
        request.session.pop(name, None)
    messages.success(request, "Your password is set. You are signed out everywhere else.")
    return redirect("dashboard:now")


def _refused(request: HttpRequest, form: SetPasswordForm[Any], *, is_first: bool) -> HttpResponseBase:
    if "old_password" in form.errors:
        request.session[_TRIES] = request.session.get(_TRIES, 0) + 1
        if request.session[_TRIES] >= MOST_TRIES:
            auth.logout(request)
            messages.error(request, "Too many wrong passwords: you are signed out.")
            return redirect("dashboard:signin")
    return _shown(request, form, is_first=is_first, status=400)


def _shown(request: HttpRequest, form: SetPasswordForm[Any], *, is_first: bool, status: int = 200) -> HttpResponse:
    access = access_of(request.user)
    seen = {"access": None if access.is_nobody else access, "may_manage": access.may_anywhere(Power.MANAGE)}
    context = {"form": form, "is_first": is_first, "here": "password", **seen, **framed(request)}
    return render(request, "rateguard/password.html", context, status=status)
