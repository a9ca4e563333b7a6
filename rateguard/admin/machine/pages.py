"""Verbs on a list: the page in between, which says what is touched and asks; and the same from a row's own page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from rateguard.admin.base import RateguardAdmin, reach_of
from rateguard.admin.machine.related import Table
from rateguard.admin.machine.verb import Chosen, Order, Verb
from rateguard.engine.errors import GateError, InvalidRequest
from rateguard.jobs.clock import database_now

Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]

YES, SEEN_AT, FROM_PAGE = "verb_yes", "verb_seen_at", "verb_from_page"


class VerbAdmin(RateguardAdmin):
    """An admin whose rows have verbs, on the list and on a row's page."""

    verbs: ClassVar[Sequence[Verb]] = ()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The verbs that who is signed in may use, in place of Django's own actions."""
        others = super().get_actions(request)
        offered = [verb for verb in self.verbs if verb.may(reach_of(request))] if others is not None else []
        return {**others, **{verb.name: (action_of(verb), verb.name, verb.label) for verb in offered}}

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """With what belongs to the row below it, and with its verbs."""
        row = self.get_object(request, object_id)
        access = reach_of(request)
        told = {
            "related": self.related(request, row),
            "verbs": [verb for verb in self.verbs if verb.may(access) and verb.fits(row, access)],
            "verbs_url": self._list_url(),
            "from_page": FROM_PAGE,
        }
        return super().change_view(request, object_id, form_url, {**told, **(extra_context or {})})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row, read once a request. Raises Http404."""
        known: tuple[str, Any] | None = getattr(request, "rateguard_row", None)
        if known is None or known[0] != object_id:
            known = (object_id, super().get_object(request, object_id, from_field))
            request.rateguard_row = known  # type: ignore[attr-defined]  # Django means requests to carry such attributes
        return known[1]

    def related(self, request: HttpRequest, row: Any) -> tuple[Table, ...]:
        """What belongs to a row."""
        return ()

    def _list_url(self) -> str:
        return reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_changelist")


def action_of(verb: Verb) -> Action:
    """A verb as Django's admin takes it: asked first, done at the second time."""

    def act(model_admin: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        access = reach_of(request)
        if not verb.may(access):
            raise PermissionDenied
        seen_at = parse_datetime(request.POST.get(SEEN_AT, "")[:40]) if request.POST.get(YES) == verb.name else None
        chosen = Chosen(rows, request.POST.get("select_across") == "1", seen_at or database_now(), access)
        form = verb.form(request.POST if seen_at else None) if verb.form else None
        if seen_at is None or (form is not None and not form.is_valid()):
            return _asked(model_admin, request, verb, chosen, form)
        _do(request, verb, chosen, form.cleaned_data if form else {})
        return _back(request, model_admin)

    act.__name__ = verb.name
    act.short_description = verb.label  # type: ignore[attr-defined]  # as Django's admin names an action
    return act


def _asked(model_admin: Any, request: HttpRequest, verb: Verb, chosen: Chosen, form: Any) -> HttpResponse:
    """The page in between."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": verb.label,
        "opts": model_admin.opts,
        "media": model_admin.media,
        "verb": verb,
        "look": verb.look(chosen),
        "form": form,
        "seen_at": chosen.seen_at.isoformat(),
        "keys": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)[:1_000],
        "key_name": helpers.ACTION_CHECKBOX_NAME,
        "select_across": "1" if chosen.is_all else "0",
        "names": {"yes": YES, "seen_at": SEEN_AT, "from_page": FROM_PAGE},
        "from_page": request.POST.get(FROM_PAGE, "")[:64],
        "back": _back(request, model_admin).url,
    }
    return TemplateResponse(request, "rateguard/admin/machine/verb.html", context)


def _do(request: HttpRequest, verb: Verb, chosen: Chosen, fields: dict[str, Any]) -> None:
    """Do it, and tell what became of it."""
    order = Order(verb.look(chosen), chosen, f"user {chosen.access.name}", fields)
    try:
        told = verb.do(order)
    except (InvalidRequest, GateError) as error:
        messages.error(request, f"Nothing more was done: {error}")
        return
    for one in told:
        getattr(messages, one.tone.value)(request, one.text)
    if not told:
        messages.warning(request, "There was nothing left to do: everything chosen had moved on already.")


def _back(request: HttpRequest, model_admin: Any) -> HttpResponseRedirect:
    """To the list as it was filtered, or to the row's page."""
    row = request.POST.get(FROM_PAGE, "")[:64]
    if not row:
        return HttpResponseRedirect(request.get_full_path())
    options = model_admin.opts
    return HttpResponseRedirect(reverse(f"{model_admin.admin_site.name}:{options.app_label}_{options.model_name}_change", args=[row]))
