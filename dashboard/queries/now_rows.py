"""What rows alone say of this moment: the time, what waits in which lane and since when, what was finished in the last minute."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, Value
from django.db.models.functions import Now

from rateguard import wiring
from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState, State
from tenants.access import Access
from tenants.models import ConfigVersion

MOST_COUNTED = 100_000
"""Of a lane no more are counted: "100,000+"."""
PACE = dt.timedelta(seconds=60)


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """The database's time, and whether it takes no writing."""

    at: dt.datetime
    is_read_only: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Depth:
    """How many jobs wait in a lane (None: for a later time, as after a failure), and since when the oldest does.

    is_more: at least so many.
    """

    lane: Lane | None
    waiting: int
    is_more: bool
    oldest_at: dt.datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """Of the last minute: jobs finished well, and attempts that failed.

    running: attempts under way, by the process that runs them; all_running: those of others too, for who counts free slots.
    """

    finished: int
    failed: int
    running: Mapping[str, int]
    all_running: Mapping[str, int]


def _is_locked_file() -> bool:
    """A file of SQLite that this process may not write."""
    return connection.vendor == "sqlite" and not os.access(connection.settings_dict["NAME"], os.W_OK)


def _aware(value: dt.datetime | str) -> dt.datetime:
    found = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def waiting_now(access: Access) -> tuple[Moment, list[Depth]]:
    """Each lane, what waits for a later time, and when that is. One statement; what it counts, up to MOST_COUNTED a part, are indexes.

    It hears of the configuration's version too: this process may do nothing else that would.
    """
    rows = access.within(Job.objects.order_by(), "tenant")
    parts: list[tuple[Lane | None, Any]] = [
        (lane, rows.filter(state=State.QUEUED, lane=lane).order_by("queued_at").values("queued_at")) for lane in Lane
    ]
    parts.append((None, rows.filter(state=State.SCHEDULED).order_by("run_at").values("run_at")))
    with connection.cursor() as cursor:
        cursor.execute(*_counted(part[: MOST_COUNTED + 1] for _, part in parts))
        found = {number: (count, oldest) for number, count, oldest in cursor.fetchall()}
    is_read_only, at = found.pop(_NOW)
    wiring.note_version(found.pop(_VERSION)[0])
    counts = [_depth(lane, *found[number]) for number, (lane, _) in enumerate(parts)]
    return Moment(_aware(at), bool(is_read_only) or _is_locked_file()), counts


_NOW, _VERSION = -1, -2
_MOMENT = {
    "postgresql": f"SELECT {_NOW}, current_setting('transaction_read_only')::boolean::int, statement_timestamp()",
    "sqlite": f"SELECT {_NOW}, query_only, strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now') FROM pragma_query_only",  # noqa: S608 - a number of ours
}


def _counted(parts: Iterable[Any]) -> tuple[str, list[Any]]:
    """The moment, and of each part its number, how many there are, and the first time."""
    version, of_version = ConfigVersion.objects.values("number").query.sql_with_params()
    sqls = [_MOMENT[connection.vendor], f"SELECT {_VERSION}, COALESCE(MAX(number), 0), NULL FROM ({version}) AS version"]  # noqa: S608 - as below
    params = [*of_version]
    for number, part in enumerate(parts):
        sql, given = part.query.sql_with_params()
        (column,) = part.query.values_select
        sqls.append(f"SELECT {number}, COUNT(*), MIN({column}) FROM ({sql}) AS part")  # noqa: S608 - our own names
        params += given
    return " UNION ALL ".join(sqls), params


def _depth(lane: Lane | None, count: int, oldest: dt.datetime | str | None) -> Depth:
    return Depth(lane, min(count, MOST_COUNTED), count > MOST_COUNTED, None if oldest is None else _aware(oldest))


def pace(access: Access) -> Pace:
    """One statement, on the attempts that run and those that ended in the last minute. Calls that are no job's are under way alone."""
    ids = access.tenant_ids()
    own = Q() if ids is None else Q(tenant__in=ids)
    rows = Attempt.objects.filter(Q(state=AttemptState.RUNNING) | (own & Q(finished_at__gt=Now() - PACE)))
    is_own = Value(value=True) if ids is None else ExpressionWrapper(own, BooleanField())
    grouped = rows.annotate(is_own=is_own).values_list("state", "holder", "is_own").annotate(Count("pk"), Count("job")).order_by()
    ended = {AttemptState.SUCCEEDED: 0, AttemptState.FAILED: 0}
    running, all_running = Counter[str](), Counter[str]()
    for state, holder, mine, attempts, jobs in grouped:
        if state == AttemptState.RUNNING:
            all_running[holder] += attempts
            running[holder] += attempts if mine else 0
        elif state in ended:
            ended[AttemptState(state)] += jobs
    return Pace(ended[AttemptState.SUCCEEDED], ended[AttemptState.FAILED], running, all_running)
