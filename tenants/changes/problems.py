"""What is wrong with a row before it is written, as one InvalidRequest that names every field at fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.db.models.constraints import BaseConstraint

from rateguard.engine.errors import InvalidRequest
from tenants.models.tenant import MAX_WEIGHT

_WEIGHT = f"a weight is a whole number from 1 to {MAX_WEIGHT}"
REMEDIES = {
    "tenant_weight": _WEIGHT,
    "deployment_weight": _WEIGHT,
    "price_not_negative": "a price is not negative",
}
"""What to do about a constraint that says no more than its name."""

_TAKEN = {"unique", "unique_together"}


def check(row: models.Model, names: Mapping[str, str], skip: set[str] | None = None) -> None:
    """Raise InvalidRequest where a row cannot be written: `name_taken`, or `invalid_field` with a pointer for each field at fault.

    names: what callers call a field, where that is not its own name. skip: fields that were checked better already.
    """
    wrong = list(_wrong_fields(row, skip or set()))
    bad = {name for name, _ in wrong} | (skip or set())
    taken = [] if wrong else list(_taken(row, bad))
    wrong += [] if taken else list(_wrong_together(row, bad))
    if taken or wrong:
        raise as_invalid([(names.get(name, name), said) for name, said in taken or wrong], code="name_taken" if taken else "invalid_field")


def as_invalid(found: list[tuple[str, str]], *, code: str = "invalid_field") -> InvalidRequest:
    """One refusal of several fields."""
    errors = [(f"/{name}" if name else "", said) for name, said in found]
    text = errors[0][1] if len(errors) == 1 else "; ".join(f"{pointer[1:]}: {said}" for pointer, said in errors)
    return InvalidRequest(text, code=code, pointer=errors[0][0], errors=errors)


def _wrong_fields(row: models.Model, skip: set[str]) -> Iterator[tuple[str, str]]:
    try:
        row.clean_fields(exclude=skip)
    except ValidationError as error:
        for name, errors in error.error_dict.items():
            yield name, _say(row, name, errors[0])
    try:
        row.clean()
    except ValidationError as error:
        yield from _told(error)


def _say(row: models.Model, name: str, error: ValidationError) -> str:
    choices = row._meta.get_field(name).choices  # type: ignore[union-attr]  # noqa: SLF001 - a model's public description
    if error.code == "invalid_choice" and choices:
        return f"write one of {', '.join(str(value) for value, _ in choices)}"
    return " ".join(error.messages)


def _told(error: ValidationError) -> Iterator[tuple[str, str]]:
    if not hasattr(error, "error_dict"):
        yield "", " ".join(error.messages)
        return
    for name, errors in error.error_dict.items():
        for one in errors:
            yield ("" if name == NON_FIELD_ERRORS else name), " ".join(one.messages)


def _taken(row: models.Model, skip: set[str]) -> Iterator[tuple[str, str]]:
    """What somebody else has already."""
    try:
        row.validate_unique(exclude=skip)
    except ValidationError as error:
        for name, errors in error.error_dict.items():
            if any(one.code in _TAKEN for one in errors):
                yield name, f"there is one of this {name} already: take another, or change that one"
    for constraint in _constraints(row, UniqueConstraint):
        yield from _asked(row, constraint, skip)


def _wrong_together(row: models.Model, skip: set[str]) -> Iterator[tuple[str, str]]:
    for constraint in _constraints(row, CheckConstraint):
        yield from _asked(row, constraint, skip)


def _constraints(row: models.Model, kind: type[BaseConstraint]) -> list[Any]:
    return [one for one in row._meta.constraints if isinstance(one, kind)]  # noqa: SLF001 - a model's public description


def _asked(row: models.Model, constraint: Any, skip: set[str]) -> Iterator[tuple[str, str]]:
    fields = list(constraint.fields) if isinstance(constraint, UniqueConstraint) else _fields_of(constraint.condition)
    if skip & set(fields):
        return
    try:
        constraint.validate(type(row), row)
    except ValidationError as error:
        yield (
            fields[-1] if isinstance(constraint, UniqueConstraint) else fields[0],
            REMEDIES.get(constraint.name) or " ".join(error.messages),
        )


def _fields_of(condition: Any) -> list[str]:
    """The fields that a condition speaks of, the first one first."""
    if not isinstance(condition, Q):
        return []
    found: list[str] = []
    for child in condition.children:
        found += [child[0].split("__")[0]] if isinstance(child, tuple) else _fields_of(child)
    return list(dict.fromkeys(found))
