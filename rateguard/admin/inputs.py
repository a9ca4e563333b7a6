"""The fields of our own forms, in the look of the admin that they stand in: unfold's where it is installed, else Django's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin import widgets
from django.contrib.admin.sites import AdminSite
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Model, QuerySet

from rateguard.admin.base import HAS_UNFOLD

if HAS_UNFOLD and not TYPE_CHECKING:
    from unfold import widgets as unfolds

    LOOKS = {
        forms.TextInput: unfolds.UnfoldAdminTextInputWidget,
        forms.NumberInput: unfolds.UnfoldAdminIntegerFieldWidget,
        forms.PasswordInput: unfolds.UnfoldAdminPasswordWidget,
        forms.Textarea: unfolds.UnfoldAdminTextareaWidget,
        forms.Select: unfolds.UnfoldAdminSelectWidget,
        forms.CheckboxInput: unfolds.UnfoldBooleanSwitchWidget,
        forms.CheckboxSelectMultiple: unfolds.UnfoldAdminCheckboxSelectMultipleWidget,
        forms.SplitDateTimeWidget: unfolds.UnfoldAdminSplitDateTimeWidget,
    }
else:
    LOOKS: dict[type[Any], type[forms.Widget]] = {
        forms.TextInput: widgets.AdminTextInputWidget,
        forms.NumberInput: widgets.AdminIntegerFieldWidget,
        forms.SplitDateTimeWidget: widgets.AdminSplitDateTime,
    }


def dress(form: forms.BaseForm) -> None:
    """Give the fields that were written by hand the look of the others."""
    for field in form.fields.values():
        look = LOOKS.get(type(field.widget))
        if look is None:
            continue
        made = look(attrs=dict(field.widget.attrs))
        made.is_required = field.widget.is_required
        field.widget = made
        if isinstance(field, forms.ChoiceField):
            made.choices = field.choices  # type: ignore[attr-defined]  # what shows choices has them


def one_of(rows: QuerySet[Any], way: tuple[type[Model], str], site: AdminSite, **said: Any) -> forms.ModelChoiceField[Any]:
    """A field that finds a row while one types. way: a model and its foreign key to such rows, by which the admin knows what to search."""
    model, name = way
    field: Any = model._meta.get_field(name)  # noqa: SLF001 - a model's public description
    return forms.ModelChoiceField(rows, widget=AutocompleteSelect(field, site), **said)
