"""Lists by pages: `limit` rows, and the cursor of the next page as long as there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.response import Response

from rateguard.api.params import MOST_PK, Query

Row = TypeVar("Row", bound=Model)

PAGE = ("cursor", "limit")
USUAL = 50
MOST = 200


def page_of(rows: QuerySet[Row], query: Query, render: Callable[[Row], dict[str, Any]], *, is_newest_first: bool = False) -> Response:
    """One page of rows, by their numbers: a row that comes or goes meanwhile shifts nothing."""
    limit = query.whole("limit", USUAL, 1, MOST)
    cursor = query.whole("cursor", 0, 0, MOST_PK)
    if cursor:
        rows = rows.filter(pk__lt=cursor) if is_newest_first else rows.filter(pk__gt=cursor)
    found = list(rows.order_by("-pk" if is_newest_first else "pk")[: limit + 1])
    following = str(found[limit - 1].pk) if len(found) > limit else None
    return Response({"object": "list", "data": [render(row) for row in found[:limit]], "next_cursor": following})
