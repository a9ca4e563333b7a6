"""Filters of lists: a tenant, a time, a word of a few, a name that is typed. Each says whether an index knows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date

from rateguard.admin.base import reach_of
from rateguard.admin.machine.places import LONGEST
from tenants.access import Power
from tenants.models import Tenant

MOST_LINKS = 12
"""So many tenants stand as links; of more the name is typed."""
MOST_CHARS = 128


class Narrowing(admin.SimpleListFilter):
    """One filter. asked: what it is set to, None where it is not. column: the rows' way to what it asks of.

    parameters: the parts of an address that are its own. is_indexed: whether the list's order and this are one index.
    """

    column: ClassVar[str] = ""
    is_indexed: ClassVar[bool] = False
    parameters: ClassVar[tuple[str, ...]] = ()
    asked: Any = None

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        taken = {name: params.pop(name, [""])[-1] for name in self.parameters if name != self.parameter_name}
        self.given: Mapping[str, str] = {**taken, str(self.parameter_name): str(self.value() or "")[:LONGEST]}
        kept = [name for name in request.GET if name not in {*self.parameters, "beside"}]
        self.kept = [(name, value) for name in kept for value in request.GET.getlist(name)]
        self.asked = self.read(request)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """No links, unless a filter has some."""
        return ()

    def has_output(self) -> bool:
        """Whether it is shown."""
        return True

    def read(self, request: HttpRequest) -> Any:
        """What is asked, of `given`; None for nothing."""
        return self.given[str(self.parameter_name)] or None

    def narrowed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Of these rows those that are asked for."""
        return rows.filter(**{self.column: self.asked}) if self.is_set else rows

    @property
    def is_set(self) -> bool:
        """Whether it asks for anything."""
        return self.asked is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """As Django calls it."""
        return self.narrowed(queryset)


def tenant_filter(column: str = "tenant") -> type[Narrowing]:
    """The filter for rows whose tenant is found this way."""
    return type("TenantNarrowing", (TenantNarrowing,), {"column": column})


class TenantNarrowing(Narrowing):
    """One tenant. An operator names any, or none; who belongs to several sees one at a time, so that an index leads there."""

    title = "tenant"
    parameter_name = "tenant"
    parameters = ("tenant",)
    template = "rateguard/admin/typed_filter.html"
    placeholder = "a tenant's name"
    is_indexed = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """The names within reach, as links where they are few."""
        access = reach_of(request)
        self._must_choose = not access.is_operator
        self._known = list(access.tenants(Power.LOOK).order_by("name").only("name")[: MOST_LINKS + 1])
        self.is_typed = len(self._known) > MOST_LINKS
        return [(tenant.name, tenant.name) for tenant in self._known[:MOST_LINKS]]

    def has_output(self) -> bool:
        """Whether there is something to choose."""
        return bool(self.given["tenant"]) or len(self._known) > 1

    def read(self, request: HttpRequest) -> Tenant | None:
        """The tenant of this name; another tenant's rows are not there, nor are those of one that there is not."""
        name = self.given["tenant"]
        if not name:
            return self._known[0] if self._must_choose and self._known else None
        found = next((tenant for tenant in self._known if tenant.name == name), None)
        found = found or reach_of(request).tenants(Power.LOOK).filter(name=name[:MOST_CHARS].replace("\0", "")).first()
        if found is None:
            messages.error(request, f"There is no tenant {name[:MOST_CHARS]!r}. Write a tenant's whole name.")
        return found or Tenant(pk=0, name=name)

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Without `All` for who must choose."""
        if not self._must_choose:
            yield from super().choices(changelist)
            return
        for tenant in self._known:
            query = changelist.get_query_string({self.parameter_name: tenant.name})
            yield {"selected": tenant == self.asked, "query_string": query, "display": tenant.name}


class NameNarrowing(Narrowing):
    """A name that is typed, whole."""

    template = "rateguard/admin/typed_filter.html"
    placeholder = "its whole name"
    is_typed = True

    def read(self, request: HttpRequest) -> str | None:
        """The name."""
        return self.given[str(self.parameter_name)].strip().replace("\0", "")[:MOST_CHARS] or None


def name_filter(column: str, title: str, *, is_indexed: bool = False) -> type[NameNarrowing]:
    """The filter by a name in a column."""
    told = {"title": title, "parameter_name": column, "parameters": (column,), "column": column, "is_indexed": is_indexed}
    return type("OneNameNarrowing", (NameNarrowing,), told)


class WordNarrowing(Narrowing):
    """One of a few words, as links."""

    words: ClassVar[Mapping[str, Any]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """The words."""
        return [(word, word.replace("_", " ")) for word in self.words]

    def read(self, request: HttpRequest) -> Any:
        """What the word stands for; a word that is none of them is told."""
        word = self.given[str(self.parameter_name)]
        if word and word not in self.words:
            messages.error(request, f"{self.title} is one of {', '.join(self.words)}; {word[:MOST_CHARS]!r} is none, so all are shown.")
        return self.words.get(word)


def word_filter(column: str, title: str, words: Mapping[str, Any], *, is_indexed: bool = False) -> type[WordNarrowing]:
    """The filter by a column with a few values. words: as an address has them → as the column does."""
    told = {"title": title, "parameter_name": column, "parameters": (column,), "column": column, "words": words, "is_indexed": is_indexed}
    return type("OneWordNarrowing", (WordNarrowing,), told)


SPANS = {"1h": ("the last hour", 1), "24h": ("the last 24 hours", 24), "7d": ("the last 7 days", 168), "30d": ("the last 30 days", 720)}


class TimeNarrowing(Narrowing):
    """A span up to now, or days of UTC from one to another."""

    title = "time (UTC)"
    parameter_name = "range"
    parameters = ("range", "from", "to")
    template = "rateguard/admin/machine/time_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """The spans."""
        return [(name, told) for name, (told, _) in SPANS.items()]

    def read(self, request: HttpRequest) -> tuple[dt.datetime | None, dt.datetime | None] | None:
        """From when, and until when."""
        first, last = self._day(request, "from"), self._day(request, "to")
        if first or last:
            return first, last and last + dt.timedelta(days=1)
        span = SPANS.get(self.given["range"])
        return (timezone.now() - dt.timedelta(hours=span[1]), None) if span else None

    def choices(self, changelist: Any) -> Iterator[Any]:
        """A span takes the place of days."""
        yield {
            "selected": self.asked is None,
            "query_string": changelist.get_query_string(remove=[*self.parameters]),
            "display": "Any time",
        }
        is_days = bool(self.given["from"] or self.given["to"])
        for name, told in self.lookup_choices:
            query = changelist.get_query_string({"range": name}, remove=["from", "to"])
            yield {"selected": not is_days and self.given["range"] == name, "query_string": query, "display": str(told).capitalize()}

    def _day(self, request: HttpRequest, name: str) -> dt.datetime | None:
        text = self.given[name].strip()
        try:
            day = parse_date(text) if text else None
        except ValueError:
            day = None
        if text and day is None:
            messages.error(request, f"{text[:MOST_CHARS]!r} is no day: write it like 2026-03-31. All days are shown.")
        return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) if day and day.year < dt.MAXYEAR else None

    def narrowed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """In this time."""
        since, until = self.asked or (None, None)
        wanted = Q(**{f"{self.column}__gte": since}) if since else Q()
        return rows.filter(wanted & Q(**{f"{self.column}__lt": until}) if until else wanted)


def time_filter(column: str, *, is_indexed: bool = True) -> type[TimeNarrowing]:
    """The filter by a column of moments."""
    return type("OneTimeNarrowing", (TimeNarrowing,), {"column": column, "is_indexed": is_indexed})
