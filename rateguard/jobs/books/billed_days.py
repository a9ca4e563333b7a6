"""A bill by day and model against the ledger. It names no attempt, so nothing is corrected by it; each difference is told with a reason."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence

from django.db.models import Count, F, Q, Sum

from rateguard.engine.money import format_usd
from rateguard.jobs.books.formats.values import DayAmount, DayKey
from rateguard.jobs.books.span import Span
from rateguard.jobs.books.values import DayLine, Found, Kind
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import AttemptState
from rateguard.jobs.upkeep.bill import NOTHING, Amount
from tenants.models import Deployment

PRICES = "the same tokens at another price: the prices in force here are not the provider's, or it bills more than tokens"
PARTS = "the provider counts parts of the tokens otherwise, which have prices of their own"
OTHERS = "others use this account too: the provider counted more calls than were made here"
MIDNIGHT = "calls around midnight, which the provider may count on the other day; calls of others; or what it did not bill"
NO_DEPLOYMENT = "no deployment here has this model: others use the account, or it was deleted"
NO_LINE = "the bill has no line for it: it is not complete, or of another account"
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$|-\d{8}$")


def differing(span: Span, bill: Mapping[DayKey, DayAmount], lines: Sequence[DayLine], account: str | None) -> Iterator[Found]:
    """The bill's lines of these days, and what the ledger has on them beside. lines: all deployments and days of the span."""
    ours = {(line.day, line.deployment): line for line in lines}
    models = _by_model(account)
    seen: set[tuple[dt.date, str]] = set()
    for (day, model), amount in sorted(bill.items()):
        if not span.holds(day):
            continue
        names = sorted({name for names in models.values() for name in names}) if not model else _names(models, model)
        seen.update((day, name) for name in names)
        mine = [ours[day, name] for name in names if (day, name) in ours]
        yield from _compared(day, model, names, amount, mine)
    yield from _beside(bill, models, ours, seen)


def _compared(day: dt.date, model: str, names: Sequence[str], amount: DayAmount, mine: Sequence[DayLine]) -> Iterator[Found]:
    ledger = sum((line.ledger for line in mine), NOTHING)
    attempts = sum(line.attempts for line in mine)
    difference = _difference(amount, ledger, attempts)
    parts = _parts_differ(day, names, amount)
    if difference != NOTHING or parts:
        cause = parts if _is_of_parts(difference, parts) else _cause(day, names, amount, difference, attempts)
        yield Found(Kind.BILL_DAY_DIFFERS, day, " + ".join(names), difference, cause, where=model or "all models")


def _is_of_parts(difference: Amount, parts: str) -> bool:
    """Whether the tokens agree in all, and only what they were differs."""
    return bool(parts) and difference.input_tokens == difference.output_tokens == 0


def _parts_differ(day: dt.date, names: Sequence[str], amount: DayAmount) -> str:
    """Which parts of the tokens a bill counts otherwise than the rows, in words; "" for none, and where it tells of none."""
    told = {name: billed for name in _PARTS if (billed := getattr(amount, name)) is not None}
    if not told or not names:
        return ""
    span = Span(day, day)
    rows = span.of(Attempt.objects.filter(deployment__in=names).exclude(state=AttemptState.RUNNING), "started_at")
    ours = rows.aggregate(
        of_cached_tokens=Sum("cached_tokens"),
        of_audio_input_tokens=Sum("audio_input_tokens"),
        of_audio_output_tokens=Sum("audio_output_tokens"),
        of_batch_tokens=Sum(F("input_tokens") + F("cached_tokens") + F("cache_write_tokens") + F("output_tokens"), filter=Q(tier="batch")),
    )
    found = [
        f"{told[name]:,} {_PARTS[name]} against {ours[f'of_{name}'] or 0:,}" for name in told if told[name] != (ours[f"of_{name}"] or 0)
    ]
    return f"{PARTS}: {', '.join(found)}" if found else ""


_PARTS = {
    "cached_tokens": "tokens read from the cache",
    "audio_input_tokens": "tokens of sound in the input",
    "audio_output_tokens": "tokens of sound in the output",
    "batch_tokens": "tokens through batches",
}


def _difference(amount: DayAmount, ledger: Amount, attempts: int) -> Amount:
    """Bill − ledger, of what the bill tells. Money within a nano-dollar an attempt is rounding: each attempt is rounded once."""
    told: tuple[int | None, ...] = (amount.input_tokens, amount.output_tokens, amount.nano_usd)
    pairs = zip(told, dataclasses.astuple(ledger), strict=True)
    found = Amount(*(0 if billed is None else billed - ours for billed, ours in pairs))
    return dataclasses.replace(found, nano_usd=0) if abs(found.nano_usd) <= attempts else found


def _cause(day: dt.date, names: Sequence[str], amount: DayAmount, difference: Amount, attempts: int) -> str:
    if not names:
        return NO_DEPLOYMENT
    if amount.requests is not None and amount.requests > attempts:
        return f"{OTHERS} ({amount.requests:,} against {attempts:,})"
    estimated = _estimated(day, names)
    if estimated is not None:
        return estimated
    tells_tokens = amount.input_tokens is not None
    return PRICES if tells_tokens and difference.input_tokens == difference.output_tokens == 0 else MIDNIGHT


def _estimated(day: dt.date, names: Sequence[str]) -> str | None:
    """How much of the day's charges is our own estimate, where there is any."""
    span = Span(day, day)
    rows = span.of(Attempt.objects.filter(deployment__in=names, is_estimated=True).exclude(state=AttemptState.RUNNING), "started_at")
    found = rows.aggregate(count=Count("pk"), cost=Sum("nano_usd"))
    if not found["count"]:
        return None
    return f"{found['count']:,} attempts are estimates of ours, {format_usd(found['cost'])} in all: a bill by attempts would correct them"


def _beside(
    bill: Mapping[DayKey, DayAmount],
    models: Mapping[str, set[str]],
    ours: Mapping[tuple[dt.date, str], DayLine],
    seen: set[tuple[dt.date, str]],
) -> Iterator[Found]:
    """What the ledger has on the days between the bill's first and last, of models that stand in it elsewhere."""
    if not bill:
        return
    first, last = min(day for day, _ in bill), max(day for day, _ in bill)
    named = {name for _, model in bill for name in _names(models, model)}
    for (day, name), line in sorted(ours.items()):
        if first <= day <= last and name in named and (day, name) not in seen and line.ledger.nano_usd:
            yield Found(Kind.BILL_DAY_DIFFERS, day, name, NOTHING - line.ledger, NO_LINE)


def _by_model(account: str | None) -> dict[str, set[str]]:
    """The deployments of each model as the provider names it; of one account, or of all."""
    rows = Deployment.objects.all() if account is None else Deployment.objects.filter(account__name=account)
    found: dict[str, set[str]] = {}
    for model, name in rows.values_list("upstream_model", "name"):
        found.setdefault(model, set()).add(name)
    return found


def _names(models: Mapping[str, set[str]], model: str) -> list[str]:
    """Those of a model: reports name the dated version (`gpt-5.4-2026-03-05`) of what was asked for by its short name."""
    return sorted(models.get(model, set()) | models.get(_DATED.sub("", model), set()))
