"""Webhook messages as rows: made, held by whoever sends them, delivered, put off, given up, sent again.

Whoever sends holds a message by a conditional UPDATE, for a little longer than an endpoint may take; the hold of a sender that died runs
out. A failure is written only while the hold is still this sender's (`tries` is the fence); that a message arrived is always written.
The pauses are those of Standard Webhooks, 5 s to 8 h; after WEBHOOK_HOURS of them a message is dead, until somebody sends it again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import random
import uuid
from collections.abc import Callable, Collection, Sequence

from django.db import transaction
from django.db.models import Case, F, PositiveSmallIntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Now

from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest, SecretUnreadable
from rateguard.jobs.clock import database_now, now
from rateguard.jobs.models import MessageState, WebhookMessage
from tenants.models import WebhookEndpoint

PAUSES_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800)
"""Before the second, third, … try; later the last one again."""
SPREAD = 0.2
"""A pause is longer or shorter by up to this part, so that what failed together does not come back together."""
HELD_LONGER_S = 10
"""A message is held for so long beyond what its endpoint may take."""
MOST_ERROR_CHARS = 2_048
PAGE = 500
LOOKED_AT = 100
"""Due messages in one look; of several senders that look at once each finds some."""
KEPT_DAYS = 30
"""A message that ended is kept for so long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A message that this process is to send. secrets: it is signed with each. at: the database's time when it was held.

    number: of this try. trouble: why it cannot be sent at all; "" where it can.
    """

    id: uuid.UUID
    endpoint: int
    url: str
    secrets: tuple[str, ...] = dataclasses.field(repr=False)
    body: str = dataclasses.field(repr=False)
    at: dt.datetime
    number: int
    trouble: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why a message did not arrive. status: of the answer, None where there was none. retry_after_s: what the endpoint asked for."""

    said: str
    status: int | None = None
    retry_after_s: float = 0.0


# ---- made


def insert(messages: Sequence[WebhookMessage]) -> None:
    """Write new messages in the transaction of what they tell; who sends is woken when it commits."""
    for message in messages:
        message.created_at = now()
    WebhookMessage.objects.bulk_create(messages)
    transaction.on_commit(wake, robust=True)


_wakers: list[Callable[[], None]] = []


def wake() -> None:
    """There are new messages: whoever sends them in this process looks now. In another process the caretaker does, within a second."""
    for waker in _wakers:
        waker()


def listen(waker: Callable[[], None]) -> None:
    """Call this when there are new messages; from any thread."""
    _wakers.append(waker)


def unlisten(waker: Callable[[], None]) -> None:
    """Call it no more."""
    if waker in _wakers:
        _wakers.remove(waker)


# ---- held

_FREE = Q(held_until__isnull=True) | Q(held_until__lte=Now())
"""Nobody sends it at this moment."""


def _due() -> QuerySet[WebhookMessage]:
    return WebhookMessage.objects.filter(_FREE, state=MessageState.PENDING, next_at__lte=Now(), endpoint__is_enabled=True)


def is_any_due() -> bool:
    """Whether there is a message that nobody sends although it is time."""
    return _due().exists()


def hold(most: int, room: Callable[[int], int], full: Collection[int]) -> list[Held]:
    """Hold up to `most` messages whose time has come, the longest due first.

    room: by endpoint, how many more of its messages may be sent. full: the endpoints that have none.
    """
    found = _due().exclude(endpoint__in=full).order_by("next_at").values_list("pk", "endpoint")[:LOOKED_AT]
    taken: dict[int, int] = {}
    mine: list[uuid.UUID] = []
    for pk, endpoint in found:
        if len(mine) >= most:
            break
        if taken.get(endpoint, 0) < room(endpoint) and _take(pk):
            taken[endpoint] = taken.get(endpoint, 0) + 1
            mine.append(pk)
    return _read(mine) if mine else []


def _take(pk: uuid.UUID) -> bool:
    """One conditional UPDATE: of two senders one hits."""
    until = Now() + dt.timedelta(seconds=conf().webhook_timeout_s + HELD_LONGER_S)
    rows = WebhookMessage.objects.filter(_FREE, pk=pk, state=MessageState.PENDING, next_at__lte=Now())
    return bool(rows.update(held_until=until, tries=F("tries") + 1))


def _read(ids: Sequence[uuid.UUID]) -> list[Held]:
    now = database_now()
    rows = WebhookMessage.objects.filter(pk__in=ids).select_related("endpoint")
    return [_held(row, now) for row in rows]


def _held(row: WebhookMessage, now: dt.datetime) -> Held:
    try:
        found, trouble = _secrets_of(row.endpoint, now), ""
    except SecretUnreadable:
        found, trouble = (), "the endpoint's secret fits no encryption key of this service: rotate it"
    return Held(row.pk, row.endpoint_id, row.endpoint.url, found, row.body or "", now, row.tries, trouble)


def _secrets_of(endpoint: WebhookEndpoint, now: dt.datetime) -> tuple[str, ...]:
    """The secrets in force, the newest first."""
    is_overlapping = endpoint.previous_expires_at is not None and endpoint.previous_expires_at > now and bool(endpoint.previous_secret)
    return (endpoint.secret.reveal(), *((endpoint.previous_secret.reveal(),) if is_overlapping else ()))


def next_in_s(most: float) -> float:
    """In how many seconds the next message is due that nobody holds; at most so many."""
    rows = WebhookMessage.objects.filter(state=MessageState.PENDING, next_at__gt=Now(), endpoint__is_enabled=True)
    at = rows.order_by("next_at").values_list("next_at", flat=True).first()
    return most if at is None else max(0.0, min(most, (at - database_now()).total_seconds()))


# ---- what became of it


def delivered(held: Held, status: int) -> None:
    """It arrived, whoever else was at it meanwhile. What was told is not kept."""
    WebhookMessage.objects.filter(pk=held.id).exclude(state=MessageState.DELIVERED).update(
        state=MessageState.DELIVERED, delivered_at=Now(), held_until=None, last_status=status, last_error="", body=""
    )


def failed(held: Held, why: Failure) -> bool:
    """It did not arrive: later again, or never again. Returns whether it is dead."""
    pause_s = pause_after(held.number, conf().webhook_hours)
    columns = {"held_until": None, "last_status": why.status, "last_error": _storable(why.said)}
    mine = WebhookMessage.objects.filter(pk=held.id, state=MessageState.PENDING, tries=held.number)
    if pause_s is not None:
        mine.update(**columns, next_at=Now() + dt.timedelta(seconds=max(pause_s, why.retry_after_s)))
        return False
    if mine.update(**columns, state=MessageState.DEAD):
        _give_up_overdue(held.endpoint)
    return True


def gone(held: Held, why: Failure) -> None:
    """The endpoint says that it is there no more: it is disabled, and nothing that waits for it is sent."""
    with transaction.atomic():
        WebhookEndpoint.objects.filter(pk=held.endpoint, is_enabled=True).update(is_enabled=False)
        WebhookMessage.objects.filter(endpoint=held.endpoint, state=MessageState.PENDING).update(
            state=MessageState.DEAD,
            held_until=None,
            last_status=why.status,
            last_error=_storable(f"{why.said}; the endpoint was disabled"),
        )


def pause_after(tries: int, hours: int, chance: Callable[[], float] = random.random) -> float | None:
    """Seconds from the so many-eth failure to the next try; None where the tries were spread over all these hours.

    >>> [pause_after(tries, 24, lambda: 0.5) for tries in (1, 2, 9, 10, 11)]
    [5.0, 30.0, 28800.0, 28800.0, None]
    """
    pauses = list(itertools.islice(itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1])), tries))
    if sum(pauses) > hours * 3_600:
        return None
    return pauses[-1] * (1 + SPREAD * (2 * chance() - 1))


def _give_up_overdue(endpoint: int) -> None:
    """One of its messages was tried for all the hours: those that have been due for as long go with it."""
    overdue = WebhookMessage.objects.filter(
        endpoint=endpoint, state=MessageState.PENDING, next_at__lte=Now() - dt.timedelta(hours=conf().webhook_hours)
    )
    overdue.update(state=MessageState.DEAD, held_until=None, last_error="the endpoint took no message for as long as one is tried")


def _storable(text: str) -> str:
    """At most MOST_ERROR_CHARS, without what a database cannot hold."""
    return text.replace("\0", "")[:MOST_ERROR_CHARS]


# ---- sent again


def resend(endpoint: WebhookEndpoint, message: uuid.UUID | None = None) -> int:
    """Send all dead messages of an endpoint again from the first try on, or this one, which may also wait for a later try.

    Returns how many. What was delivered is not sent again: its text is not kept. Raises InvalidRequest: `webhook_disabled`,
    `not_resendable`.
    """
    check_enabled(endpoint)
    rows = endpoint.messages.filter(_FREE)
    rows = rows.filter(state=MessageState.DEAD) if message is None else rows.filter(pk=message).exclude(state=MessageState.DELIVERED)
    tries = Case(When(state=MessageState.DEAD, then=Value(0)), default=F("tries"), output_field=PositiveSmallIntegerField())
    count = rows.update(tries=tries, state=MessageState.PENDING, next_at=Now(), held_until=None)
    if message is not None and not count:
        raise InvalidRequest("this message was delivered, or is being sent at this moment: look at it again", code="not_resendable")
    if count:
        transaction.on_commit(wake, robust=True)
    return count


def delete_old() -> int:
    """Messages that ended long ago go, and those whose job's bodies were removed; a page of them. Returns how many."""
    is_old = Q(created_at__lt=Now() - dt.timedelta(days=KEPT_DAYS)) | Q(job__purged_at__isnull=False)
    ended = WebhookMessage.objects.filter(is_old, state__in=[MessageState.DELIVERED, MessageState.DEAD])
    count, _ = WebhookMessage.objects.filter(pk__in=list(ended.values_list("pk", flat=True)[:PAGE])).delete()
    return count


def check_enabled(endpoint: WebhookEndpoint) -> None:
    """Raise InvalidRequest where nothing would be sent."""
    if not endpoint.is_enabled:
        raise InvalidRequest(f"the endpoint {endpoint.name} is disabled: enable it first", code="webhook_disabled")
