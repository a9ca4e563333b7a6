"""Lists of what the machine writes, as quick with a million rows as with ten: nothing is counted, and a page is named by a row.

What an index answers is read from it. What no index knows is looked for among the newest rows, MOST_LOOKED_AT at a time, and the page
says where it stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from rateguard.admin.base import HAS_UNFOLD, ReadOnlyAdmin
from rateguard.admin.machine.finding import ids_from, typed
from rateguard.admin.machine.narrowing import Narrowing
from rateguard.admin.machine.places import Order, place_of, read_place, turned
from rateguard.jobs.insight.fence import among
from tenants.access import Power

if TYPE_CHECKING or not HAS_UNFOLD:
    BaseList = ChangeList
else:
    from unfold.views import ChangeList as BaseList

BESIDE = "beside"
"""The part of an address that names the row beside the page."""
MOST_LOOKED_AT = 20_000


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """A page. older, newer: the places of the pages beside it, empty where there is none. looked_at: after so many rows it stopped."""

    rows: Sequence[Any]
    older: str = ""
    newer: str = ""
    looked_at: int | None = None


class KeysetList(BaseList):
    """A list without numbers of pages, and without a number of rows."""

    is_keyset = True
    older = newer = ""
    looked_at: int | None = None
    model_admin: KeysetAdmin

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """All rows that match, whatever page is shown."""
        self.params.pop(BESIDE, None)
        self.filter_params.pop(BESIDE, None)
        return super().get_queryset(request, exclude_parameters)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """The one that an index has."""
        return list(self.model_admin.order_of(self))

    def get_ordering_field_columns(self) -> dict[int, Any]:
        """No column is sorted by."""
        return {}

    def get_results(self, request: HttpRequest) -> None:
        """The page beside the row that the address names, or the newest rows."""
        try:
            listing = self.model_admin.listing(request, self, request.GET.get(BESIDE, ""))
        except ValueError as error:
            messages.warning(request, "The address of that page was not understood: these are the newest rows.")
            raise IncorrectLookupParameters from error
        self.result_list = listing.rows
        self.result_count = self.full_result_count = len(listing.rows)
        self.older, self.newer, self.looked_at = listing.older, listing.newer, listing.looked_at
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(listing.rows)
        self.paginator = Paginator(listing.rows, max(self.list_per_page, 1))

    def older_url(self) -> str:
        """The address of the page of older rows; empty where there is none."""
        return self.get_query_string({BESIDE: self.older}) if self.older else ""

    def newer_url(self) -> str:
        """The same of the newer ones."""
        return self.get_query_string({BESIDE: self.newer}) if self.newer else ""

    def newest_url(self) -> str:
        """The address of the first page."""
        return self.get_query_string()

    def narrowed_by(self, name: str) -> Any:
        """What a filter of this list is set to; None where it is not."""
        return next((spec.asked for spec in self.filter_specs if isinstance(spec, Narrowing) and spec.parameter_name == name), None)

    def ground(self) -> QuerySet[Any]:
        """The rows that an index leads to: all but what the filters say that no index knows."""
        rows = self.root_queryset
        for spec in self.filter_specs:
            if isinstance(spec, Narrowing) and self.model_admin.has_index(self, spec):
                rows = spec.narrowed(rows)
        return rows

    def is_walk(self) -> bool:
        """Whether something is asked that no index knows."""
        asked = [spec for spec in self.filter_specs if isinstance(spec, Narrowing) and spec.is_set]
        return any(not self.model_admin.has_index(self, spec) for spec in asked)


class KeysetAdmin(ReadOnlyAdmin):
    """Rows that the machine writes, newest first. order: the columns, all descending, for which there is an index.

    heavy: columns that no list reads. search_help_text: what the field for a search takes; without it there is none. id_field: the
    column of ids by whose beginning rows are found.
    """

    order: ClassVar[Order] = ("-id",)
    id_field: ClassVar[str] = "pk"
    heavy: ClassVar[tuple[str, ...]] = ()
    sees = Power.LOOK
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    sortable_by: ClassVar[tuple[str, ...]] = ()
    actions = ()
    list_filter_sheet = True
    preserve_filters = True
    change_form_template = "rateguard/admin/machine/row.html"

    class Media:
        css: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("rateguard/admin.css", "rateguard/admin-machine.css")}

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Django shows the field for a search where there is one; what it does is get_search_results'."""
        return ("pk",) if self.search_help_text else ()

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """The rows whose id begins as it was typed."""
        if not typed(search_term):
            return queryset, False
        found = ids_from(typed(search_term))
        return (
            queryset.filter(**{f"{self.id_field}__gte": found[0], f"{self.id_field}__lte": found[1]}) if found else queryset.none()
        ), False

    def order_of(self, changes: KeysetList) -> Order:
        """The order of this list as it is filtered."""
        return self.order

    def has_index(self, changes: KeysetList, spec: Narrowing) -> bool:
        """Whether this filter, with the order of this list, is read from an index."""
        return spec.is_indexed

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[KeysetList]:
        """Ours."""
        return KeysetList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """What the filters know and nothing else: a look into any column is a way to read what is not shown."""
        return any(lookup in one.parameters for one in self.list_filter if isinstance(one, type) and issubclass(one, Narrowing))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With a title that promises no change."""
        name = str(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": name[0].upper() + name[1:], **(extra_context or {})})

    def listing(self, request: HttpRequest, changes: KeysetList, beside: str) -> Listing:
        """The page beside a place. Raises ValueError for a place that is none."""
        order = self.order_of(changes)
        place = read_place(beside, self.model, order)
        is_to_newer = place is not None and place.is_to_newer
        way = turned(order) if is_to_newer else order

        def beyond(rows: QuerySet[Any]) -> QuerySet[Any]:
            return (rows if place is None else rows.filter(place.beyond(order))).order_by(*way)

        wanted, walked = changes.queryset.defer(*self.heavy), None
        if changes.is_walk() and not changes.query:
            walked = beyond(changes.ground().defer(*self.heavy))
            wanted = among(wanted, walked[:MOST_LOOKED_AT])
        limit = self.list_per_page
        found = list(beyond(wanted)[: limit + 1])
        listing = listing_of(found, order, limit, is_to_newer=is_to_newer, is_first=place is None)
        return listing if walked is None or len(found) > limit else _with_stop(listing, walked, order, is_to_newer=is_to_newer)


def listing_of(found: list[Any], order: Order, limit: int, *, is_to_newer: bool, is_first: bool) -> Listing:
    """The page of the rows beside a place, the nearest first; found: one more than `limit`, where there are so many."""
    has_more, rows = len(found) > limit, found[:limit]
    if is_to_newer:
        rows.reverse()
    if not rows:
        return Listing(())
    has_older, has_newer = (True, has_more) if is_to_newer else (has_more, not is_first)
    older = place_of(rows[-1], order, is_to_newer=False).written() if has_older else ""
    newer = place_of(rows[0], order, is_to_newer=True).written() if has_newer else ""
    return Listing(tuple(rows), older, newer)


def _with_stop(listing: Listing, walked: QuerySet[Any], order: Order, *, is_to_newer: bool) -> Listing:
    """With the place at which the walk stopped before its page was full; the same where it saw all rows."""
    last = next(iter(walked[MOST_LOOKED_AT - 1 : MOST_LOOKED_AT]), None)
    if last is None:
        return listing
    on = place_of(last, order, is_to_newer=is_to_newer).written()
    return dataclasses.replace(listing, looked_at=MOST_LOOKED_AT, **{"newer" if is_to_newer else "older": on})
