"""What can be done with one row beside changing its fields: a button on its page, and a page in between where there is something to ask."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from rateguard.admin.base import reach_of
from rateguard.admin.changing import ChangingAdmin
from rateguard.admin.inputs import dress
from rateguard.engine.errors import GateError, InvalidRequest
from tenants.access import Access


def _always(_access: Access, _row: Any) -> bool:
    return True


@dataclasses.dataclass(frozen=True, slots=True)
class Deed:
    """One thing to do. do: the name of the admin's method `(request, row, fields)`, which answers a text or a whole response.

    asks: what is said on the page in between; "": it is done at once. form: what else must be known. offered: to whom, and when.
    """

    name: str
    label: str
    do: str
    asks: str = ""
    form: type[forms.Form] | None = None
    offered: Callable[[Access, Any], bool] = _always
    is_danger: bool = False


class DoingAdmin(ChangingAdmin):
    """An admin with deeds. Each is done by a POST alone."""

    deeds: ClassVar[tuple[Deed, ...]] = ()
    change_form_template = "rateguard/admin/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        """With the address of deeds before the others, which take whatever comes."""
        own = path("<path:object_id>/do/<slug:deed>/", self.admin_site.admin_view(self.deed_view), name=self._deed_name())
        return [own, *super().get_urls()]

    def _deed_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_deed"

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> HttpResponse:
        """The form, with what else can be done."""
        row = context.get("original")
        if row is not None and self.has_change_permission(request, row):
            at = f"{self.admin_site.name}:{self._deed_name()}"
            context["deeds"] = [(deed, reverse(at, args=[row.pk, deed.name])) for deed in self._offered(request, row)]
        return super().render_change_form(request, context, *args, **kwargs)

    def _offered(self, request: HttpRequest, row: Any) -> list[Deed]:
        return [deed for deed in self.deeds if deed.offered(reach_of(request), row)]

    def deed_view(self, request: HttpRequest, object_id: str, deed: str) -> HttpResponse:
        """Ask, and do. Raises Http404, PermissionDenied."""
        row = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        found = next((one for one in self._offered(request, row) if one.name == deed), None)
        if found is None:
            raise Http404
        form = found.form(request.POST if request.method == "POST" else None) if found.form else None
        if form is not None:
            dress(form)
        if request.method == "POST" and (form is None or form.is_valid()):
            answer = self._done(request, row, found, form)
            if answer is not None:
                return answer
        return self._asked(request, row, found, form)

    def _done(self, request: HttpRequest, row: Any, deed: Deed, form: forms.Form | None) -> HttpResponse | None:
        """The answer; None where the form is to be corrected."""
        try:
            told = getattr(self, deed.do)(request, row, form.cleaned_data if form else {})
        except InvalidRequest as error:
            if form is None:
                messages.error(request, str(error))
                return self.back_to(row.pk)
            for pointer, said in error.errors:
                name = pointer.strip("/").split("/")[0]
                form.add_error(name if name in form.fields else None, said)
            return None
        except GateError:
            messages.error(request, "The gate does not answer: nothing was done. Try again in a moment.")
            return self.back_to(row.pk)
        if isinstance(told, HttpResponse):
            return told
        if told:
            messages.success(request, told)
        return self.back_to(row.pk)

    def _asked(self, request: HttpRequest, row: Any, deed: Deed, form: forms.Form | None) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{deed.label}: {row}",
            "opts": self.opts,
            "deed": deed,
            "form": form,
            "original": row,
            "back": reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk]),
            "media": self.media + (form.media if form else forms.Media()),
        }
        return TemplateResponse(request, "rateguard/admin/deed.html", context)
