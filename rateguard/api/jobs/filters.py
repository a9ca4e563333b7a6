"""Which jobs a list shows: the parameters of GET jobs, as filters of rows."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, cast

from django import forms
from django.db.models import BooleanField, F, Func, QuerySet, Value
from django.http import QueryDict
from django_filters import CharFilter, ChoiceFilter, Filter, FilterSet, UUIDFilter
from django_filters.filters import BaseInFilter

from rateguard.api.params import MOST_PK
from rateguard.api.reading import read_time
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.intake.checking import MOST_LABEL_KEY_CHARS, MOST_LABEL_VALUE_CHARS, MOST_LABELS
from rateguard.jobs.models import Job
from rateguard.jobs.names import MOST_NAME_CHARS
from rateguard.jobs.states import State

LABEL = "label."
"""`label.feature=search`: the name of the parameter holds the label's key."""


class MomentField(forms.Field):
    """A time with its zone. A plus sign that nobody quoted came as a space."""

    def to_python(self, value: Any) -> dt.datetime | None:
        """In UTC."""
        try:
            return read_time(value.replace(" ", "+"), "") if value else None
        except InvalidRequest as refusal:
            raise forms.ValidationError(str(refusal)) from None


class MomentFilter(Filter):  # type: ignore[misc]  # django-filter has no types
    """By a moment."""

    field_class = MomentField


class WholeFilter(Filter):  # type: ignore[misc]  # as above
    """By a whole number."""

    field_class = forms.IntegerField


class OneOfFilter(BaseInFilter, ChoiceFilter):  # type: ignore[misc]  # as above
    """By words with commas between them."""


def _text(field: str) -> CharFilter:
    return CharFilter(field, max_length=MOST_NAME_CHARS, strip=False)


class JobFilters(FilterSet):  # type: ignore[misc]  # as above
    """The filters but labels."""

    status = OneOfFilter("state", choices=State.choices)
    lane = OneOfFilter("lane", choices=[(lane.label, lane.label) for lane in Lane], method="by_lanes")
    user = _text("user")
    team = _text("team")
    model = _text("model")
    error = _text("error_code")
    run = UUIDFilter("run")
    key = WholeFilter("api_key_id", min_value=1, max_value=MOST_PK)
    submitted_after = MomentFilter("submitted_at", lookup_expr="gte")
    submitted_before = MomentFilter("submitted_at", lookup_expr="lt")

    class Meta:
        model = Job
        fields = ()

    def by_lanes(self, rows: QuerySet[Job], _name: str, lanes: list[str]) -> QuerySet[Job]:
        """Lanes are numbers in rows."""
        return rows.filter(lane__in=[parse_lane(lane) for lane in lanes])


KNOWN = tuple(JobFilters.base_filters)
_SEVERAL = {"status", "lane"}
_TEXTS = {"user", "team", "model", "error"}
"""Empty is as good as absent."""
_PAIR = re.compile(r"([^:=]+)[:=](.*)", re.DOTALL)


class HasLabel(Func):
    """Whether labels hold this pair."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, key: str, value: str) -> None:
        super().__init__(F("labels"), Value(key), Value(value))

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        """As a row of the object's pairs: a path into it could not hold every key."""
        template = "EXISTS (SELECT 1 FROM json_each(%(labels)s) AS pair WHERE pair.key = %%s AND pair.value = %%s)"
        return self._compiled(compiler, template)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        """As the value of the key."""
        return self._compiled(compiler, "(jsonb_extract_path_text(%(labels)s, %%s) = %%s)")

    def _compiled(self, compiler: Any, template: str) -> tuple[str, tuple[Any, ...]]:
        labels, key, value = self.get_source_expressions()
        sql, params = compiler.compile(labels)
        return template % {"labels": sql}, (*params, cast("Any", key).value, cast("Any", value).value)


def filtered(rows: QuerySet[Job], given: QueryDict) -> QuerySet[Job]:
    """The rows that the parameters ask for. Raises InvalidRequest: `invalid_parameter`."""
    found = JobFilters(_one_each(given), queryset=rows)
    if not found.is_valid():
        told = [f"{name}: {' '.join(texts)}" for name, texts in found.errors.items()]
        raise InvalidRequest("; ".join(told)[:1_000], code="invalid_parameter")
    rows = found.qs
    for key, value in _labels_in(given):
        rows = rows.filter(HasLabel(key, value))
    return rows


def _one_each(given: QueryDict) -> dict[str, str]:
    """Each filter's value. What takes several may stand several times."""
    named = {name: given.getlist(name) for name in KNOWN if name in given}
    for name, values in named.items():
        if len(values) > 1 and name not in _SEVERAL:
            raise InvalidRequest(f"{name} stands {len(values)} times: send it once", code="invalid_parameter")
        if name not in _TEXTS and "" in values:
            raise InvalidRequest(f"{name} is empty: write a value, or leave it out", code="invalid_parameter")
    return {name: ",".join(values) for name, values in named.items()}


def _labels_in(given: QueryDict) -> list[tuple[str, str]]:
    """The pairs of `label=feature:search` and `label.feature=search`; a job must have all of them."""
    pairs = [_PAIR.fullmatch(text) for text in given.getlist("label")]
    if not all(pairs):
        raise InvalidRequest("write a label as key:value, such as label=feature:search", code="invalid_parameter")
    found = [(pair[1], pair[2]) for pair in pairs if pair]
    found += [(name.removeprefix(LABEL), value) for name in given if name.startswith(LABEL) for value in given.getlist(name)]
    if len(found) > MOST_LABELS:
        raise InvalidRequest(f"a job has at most {MOST_LABELS} labels", code="invalid_parameter")
    for key, value in found:
        if not 1 <= len(key) <= MOST_LABEL_KEY_CHARS or len(value) > MOST_LABEL_VALUE_CHARS or "\0" in key + value:
            raise InvalidRequest("a label's key has 1 to 64 characters, its value at most 256, none of them NUL", code="invalid_parameter")
    return found
