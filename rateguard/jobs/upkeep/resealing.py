"""Bodies are encrypted anew with the first of ENCRYPTION_KEYS, row by row, while jobs go on.

Where ENCRYPT_BODIES holds, plain ones are sealed too. A row that somebody changes meanwhile is his, and written with the first key by him.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from django.db.models import ExpressionWrapper, F, Model, Q, TextField

from rateguard.conf import conf
from rateguard.engine.errors import SecretUnreadable
from rateguard.jobs.bodies import is_sealed, seal
from rateguard.jobs.models import Attempt, Job, WebhookMessage
from tenants import secrets

PAGE = 500
MOST_NAMED = 10
_COLUMNS: tuple[tuple[type[Model], str], ...] = (
    (Job, "request"),
    (Job, "result"),
    (Job, "error_message"),
    (Attempt, "error_message"),
    (WebhookMessage, "body"),
)


@dataclasses.dataclass(slots=True)
class Resealed:
    """How many bodies were written, how many fit no key, and the first rows of those."""

    written: int = 0
    unreadable: int = 0
    named: list[str] = dataclasses.field(default_factory=list)


def reseal() -> Resealed:
    """Go through all rows once. It may be ended at any time, and run again."""
    done = Resealed()
    for model, column in _COLUMNS:
        for pk, held in _held(model, column):
            try:
                anew = secrets.rotate(held) if is_sealed(held) else seal(held)
            except SecretUnreadable:
                done.unreadable += 1
                done.named += [f"{model.__name__} {pk}"] if len(done.named) < MOST_NAMED else []
                continue
            done.written += _rows(model, column).filter(pk=pk, held=held).update(**{column: anew})
    return done


def _held(model: type[Model], column: str) -> Iterator[tuple[Any, str]]:
    """What the database holds of a column, row by row, in pages."""
    rows = _rows(model, column).filter(~Q(held="") if conf().encrypt_bodies else Q(held__startswith=secrets.STORED)).order_by("pk")
    page = list(rows.values_list("pk", "held")[:PAGE])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1][0]).values_list("pk", "held")[:PAGE])


def _rows(model: type[Model], column: str) -> Any:
    """With the column as it is held, neither opened nor sealed."""
    return model._default_manager.annotate(held=ExpressionWrapper(F(column), output_field=TextField()))  # noqa: SLF001 - Django's own name for it
