"""Which jobs a list shows: the parameters of GET jobs, read as a search."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.http import QueryDict
from django_filters import CharFilter, ChoiceFilter, Filter, FilterSet, UUIDFilter
from django_filters.filters import BaseInFilter

from rateguard.api.params import MOST_PK
from rateguard.api.reading import read_time
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.insight.search import Search, label_pair
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
    """The parameters but labels, and what each may be."""

    status = OneOfFilter("state", choices=State.choices)
    lane = OneOfFilter("lane", choices=[(lane.label, lane.label) for lane in Lane])
    user = _text("user")
    team = _text("team")
    model = _text("model")
    error = _text("error_code")
    fingerprint = _text("fingerprint")
    run = UUIDFilter("run")
    batch = UUIDFilter("batch")
    key = WholeFilter("api_key_id", min_value=1, max_value=MOST_PK)
    submitted_after = MomentFilter("submitted_at", lookup_expr="gte")
    submitted_before = MomentFilter("submitted_at", lookup_expr="lt")

    class Meta:
        model = Job
        fields = ()


KNOWN = tuple(JobFilters.base_filters)
_SEVERAL = {"status", "lane"}
_TEXTS = {"user", "team", "model", "error", "fingerprint"}
"""Empty is as good as absent."""


def read_search(given: QueryDict) -> Search:
    """What the parameters ask for. Raises InvalidRequest: `invalid_parameter`."""
    found = JobFilters(_one_each(given), queryset=Job.objects.none())
    if not found.is_valid():
        told = [f"{name}: {' '.join(texts)}" for name, texts in found.errors.items()]
        raise InvalidRequest("; ".join(told)[:1_000], code="invalid_parameter")
    read: dict[str, Any] = found.form.cleaned_data
    return Search(
        states=frozenset(read["status"] or ()),
        lanes=frozenset(parse_lane(lane) for lane in read["lane"] or ()),
        keys=None if read["key"] is None else frozenset({read["key"]}),
        run=read["run"],
        batch=read["batch"],
        labels=tuple(_labels_in(given)),
        since=read["submitted_after"],
        until=read["submitted_before"],
        **{name: read[name] for name in _TEXTS},
    )


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
    pairs = [label_pair(text) for text in given.getlist("label")]
    if not all(pairs):
        raise InvalidRequest("write a label as key:value, such as label=feature:search", code="invalid_parameter")
    found = [pair for pair in pairs if pair]
    found += [(name.removeprefix(LABEL), value) for name in given if name.startswith(LABEL) for value in given.getlist(name)]
    if len(found) > MOST_LABELS:
        raise InvalidRequest(f"a job has at most {MOST_LABELS} labels", code="invalid_parameter")
    for key, value in found:
        if not 1 <= len(key) <= MOST_LABEL_KEY_CHARS or len(value) > MOST_LABEL_VALUE_CHARS or "\0" in key + value:
            raise InvalidRequest("a label's key has 1 to 64 characters, its value at most 256, none of them NUL", code="invalid_parameter")
    return found
