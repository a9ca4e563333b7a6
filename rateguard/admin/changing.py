"""Forms whose changes go through `tenants.changes`: checked and audited there, refused beside the field that is at fault."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.sites import AdminSite
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from rateguard.admin.base import RateguardAdmin
from rateguard.admin.inputs import dress
from rateguard.engine.errors import InvalidRequest

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    BaseForm = forms.ModelForm[Any]
else:
    BaseForm = forms.ModelForm


class ChangeForm(BaseForm):
    """A form that shows what a change was refused for. `called` names a field of the form where a refusal calls it otherwise."""

    request: ClassVar[HttpRequest]
    admin_site: ClassVar[AdminSite]
    called: ClassVar[dict[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepare()
        dress(self)

    def prepare(self) -> None:
        """Give fields their values and choices; `self.instance.pk` is None for a new row."""

    def clean(self) -> dict[str, Any]:
        """Nothing more than the fields say, and what the change was refused for."""
        refusal: InvalidRequest | None = getattr(self.request, "rateguard_refusal", None)
        for pointer, said in refusal.errors if refusal else ():
            name = pointer.strip("/").split("/")[0]
            name = self.called.get(name, name)
            self.add_error(name if name in self.fields else None, said)
        return self.cleaned_data

    def _post_clean(self) -> None:
        """The row stays as it is: the change checks it and writes it."""


class ChangingAdmin(RateguardAdmin):
    """An admin whose rows are written and deleted by one function of `tenants.changes` each."""

    form = ChangeForm
    show_full_result_count = True  # what people set are thousands of rows, not millions

    class Media:
        css: ClassVar[dict[str, Iterable[str]]] = {"all": ("rateguard/admin.css",)}
        js: ClassVar[Iterable[str]] = ("rateguard/names.js",)

    def write(self, request: HttpRequest, form: Any, row: Any | None) -> Model:
        """Make the row (None) or change it. Raises InvalidRequest, which comes back beside the fields."""
        raise NotImplementedError

    def erase(self, request: HttpRequest, row: Any) -> None:
        """Delete the row. Raises InvalidRequest, which is told."""
        raise NotImplementedError

    # ---- forms

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Any]:
        """The form, which knows who asks, with the fields that are shown alone."""
        made = super().get_form(request, obj, change, **kwargs)
        shown = set(flatten_fieldsets(self.get_fieldsets(request, obj)))
        hidden = dict.fromkeys(set(made.base_fields) - shown)
        return type(made.__name__, (made,), {"request": request, "admin_site": self.admin_site, **hidden})

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """The form; once more with what is wrong where the change was refused, and nothing was written."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except InvalidRequest as error:
            request.rateguard_refusal = error  # type: ignore[attr-defined]  # read by the form
            return super().changeform_view(request, object_id, form_url, extra_context)

    def save_form(self, request: HttpRequest, form: Any, change: Any) -> Any:
        """The written row."""
        return self.write(request, form, form.instance if change else None)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """It is written already."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        """Nothing hangs on it that the change did not write."""

    # ---- deleting

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's own way to delete many: each row's change is checked and audited by itself."""
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """The rows alone: what hangs on a row may be a million others, and whether it may go at all the change says."""
        rows = list(objs)
        return [str(row) for row in rows], {str(self.opts.verbose_name_plural): len(rows)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """By its change."""
        self.erase(request, obj)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        """Asks, then deletes; where it is refused it says why, and nothing is gone."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except InvalidRequest as error:
            messages.error(request, f"This cannot be deleted. {error}")
            return self.back_to(unquote(object_id))

    def back_to(self, pk: object) -> HttpResponse:
        """To the page of a row."""
        return redirect(reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change", args=[pk]))
