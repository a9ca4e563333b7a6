"""Limits and budgets as people type them.

    600/min                              600 requests in any minute
    280000 tokens/10s                    tokens; also `input tokens`, `output tokens`
    1M tokens/h burst 10%                a tenth may come at once, the rest evenly
    bucket 60/min burst 20%              a bucket of 12 that refills by one a second
    600/min reserve 20% for high         a fifth only for the lane high and those above it
    learned 60/min                       a provider's limit that nobody knows: begins with 60, and is learned from what he refuses
    50 concurrent                        at most 50 at once

    $5/day                               money a day, a week, a month
    $250 in total                        and once for all
    2M tokens/month hold                 what does not fit waits for the next month
    $5/day downgrade to small-model      or goes to a cheaper model
    $5/day tell at 90%, 100%             when people are told (or `tell never`); else at 50, 80 and 100 %

Amounts may be grouped (`280_000`, `280,000`) or shortened (`280k`, `1.5M`); windows are `ms`, `s`, `min`, `h`, `day` with an optional
number.
`format_limit` and `format_budget` write the shortest form; what they write is read back to the same value.
"""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.engine.money import NANO, format_usd
from rateguard.engine.wildcards import is_pattern
from tenants.models import BudgetPeriod, BudgetUnit, LimitKind, Metric, ModelRoute, OnExhausted
from tenants.models.budgets import MAX_BUDGET, check_thresholds, default_thresholds
from tenants.models.limits import MAX_AMOUNT, MAX_RESERVE_PERMILLE, MAX_WINDOW_MS, MIN_WINDOW_MS

_UNITS_MS = {"day": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1_000, "ms": 1}
_OTHER_NAMES = {
    "d": "day",
    "days": "day",
    "hour": "h",
    "hours": "h",
    "m": "min",
    "minute": "min",
    "minutes": "min",
    "sec": "s",
    "second": "s",
    "seconds": "s",
}
_SUFFIXES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_AMOUNT = r"(?P<digits>\d[\d_,]*(?:\.\d+)?)(?P<suffix>[kKmMgG]?)"
_BURST = r"(?:[\s,]+burst\s+(?P<burst>[\d.]+)\s*%)?"
_RESERVE = r"(?:[\s,]+reserve\s+(?P<reserve>[\d.]+)\s*%\s+for\s+(?P<lane>\w+))?"
_WINDOWED = re.compile(
    rf"(?P<kind>(?:bucket|learned)\s+)?{_AMOUNT}\s*(?P<metric>[a-z][a-z_ ]*?)?\s*/\s*(?P<count>\d*)\s*(?P<unit>[a-z]+){_BURST}{_RESERVE}"
)
_CONCURRENT = re.compile(rf"{_AMOUNT}\s*concurrent{_RESERVE}")
_END = r"(?:[\s,]+(?P<end>reject|hold|downgrade\s+to\s+(?P<model>[^\s,]+)))?(?:[\s,]+tell\s+(?P<shares>never|at\s+[\d%\s,]+))?"
_BUDGET = re.compile(rf"(?P<dollar>\$)?\s*{_AMOUNT}\s*(?P<unit>tokens)?(?:\s*/\s*(?P<period>[a-z]+)|\s+in\s+total){_END}")
_SHARES = tuple(default_thresholds())
_LIMIT_REMEDY = "write it like 600/min, 280000 tokens/10s, 1M tokens/h burst 10%, 600/min reserve 20% for high or 50 concurrent"
_BUDGET_REMEDY = "write it like $5/day, $250 in total, 2M tokens/month hold or $5/day downgrade to a-model"


@dataclasses.dataclass(frozen=True, slots=True)
class LimitValue:
    """What a limit says, apart from what it is on: the fields of a Limit. window_ms is 0 for concurrency."""

    amount: int
    metric: Metric
    kind: LimitKind
    window_ms: int
    burst_permille: int = 1_000
    reserve_permille: int = 0
    reserve_lane: Lane | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class BudgetValue:
    """What a budget says, apart from what it is on. amount: nano-dollars, or tokens. downgrade_to: a model's name, or "".

    thresholds: per cents, rising.
    """

    amount: int
    unit: BudgetUnit
    period: BudgetPeriod
    on_exhausted: OnExhausted = OnExhausted.REJECT
    downgrade_to: str = ""
    thresholds: tuple[int, ...] = _SHARES


def _wrong(text: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{text!r} is no limit: {reason}; {_LIMIT_REMEDY}", code="bad_limit")


def _wrong_budget(text: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{text!r} is no budget: {reason}; {_BUDGET_REMEDY}", code="bad_budget")


def _exact(match: re.Match[str]) -> Decimal:
    return Decimal(re.sub("[_,]", "", match["digits"])) * _SUFFIXES[match["suffix"].lower()]


# ---- limits


def _amount(text: str, match: re.Match[str]) -> int:
    exact = _exact(match)
    if exact != int(exact) or not 1 <= exact <= MAX_AMOUNT:
        raise _wrong(text, f"the amount must be a whole number from 1 to {MAX_AMOUNT}")
    return int(exact)


def _metric(text: str, match: re.Match[str]) -> Metric:
    name = (match["metric"] or Metric.REQUESTS.value).strip().replace(" ", "_")
    windowed = {metric.value: metric for metric in Metric if metric != Metric.CONCURRENCY}
    if name not in windowed:
        raise _wrong(text, f"{name!r} is not counted, {', '.join(windowed)} are")
    return windowed[name]


def _window_ms(text: str, match: re.Match[str]) -> int:
    unit = _OTHER_NAMES.get(match["unit"], match["unit"])
    if unit not in _UNITS_MS:
        raise _wrong(text, f"{unit!r} is no unit of time, {', '.join(_UNITS_MS)} are")
    window_ms = int(match["count"] or 1) * _UNITS_MS[unit]
    if not MIN_WINDOW_MS <= window_ms <= MAX_WINDOW_MS:
        raise _wrong(text, f"the window must be from {MIN_WINDOW_MS} ms to 31 days")
    return window_ms


def _permille(text: str, what: str, share: str, most: int) -> int:
    """The permille of a share in per cent."""
    if re.fullmatch(r"\d+(\.\d)?", share) is None or not 1 <= (permille := int(Decimal(share) * 10)) <= most:
        raise _wrong(text, f"the {what} must be from 0.1% to {most // 10}%")
    return permille


def _reserve(text: str, match: re.Match[str]) -> dict[str, Any]:
    if match["reserve"] is None:
        return {}
    lane = parse_lane(match["lane"])
    if lane == Lane.BACKGROUND:
        raise _wrong(text, "what is kept for background is kept for everybody; name a lane above it")
    return {"reserve_permille": _permille(text, "reserve", match["reserve"], MAX_RESERVE_PERMILLE), "reserve_lane": lane}


def parse_limit(text: str) -> LimitValue:
    """Read a limit. Raises InvalidRequest(code="bad_limit"), which says what is wrong and how to write it; "unknown_lane"."""
    tidy = text.strip()
    if match := _CONCURRENT.fullmatch(tidy):
        return LimitValue(_amount(text, match), Metric.CONCURRENCY, LimitKind.CONCURRENCY, 0, **_reserve(text, match))
    if match := _WINDOWED.fullmatch(tidy):
        kind = LimitKind((match["kind"] or LimitKind.WINDOW).strip())
        burst = 1_000 if match["burst"] is None else _permille(text, "burst", match["burst"], 1_000)
        amount = _amount(text, match)
        if kind == LimitKind.BUCKET and amount * burst < 1_000:
            raise _wrong(text, "such a bucket would hold less than one; raise its burst")
        return LimitValue(amount, _metric(text, match), kind, _window_ms(text, match), burst, **_reserve(text, match))
    raise _wrong(text, "it cannot be read")


def format_limit(value: LimitValue) -> str:
    """Write a limit in its shortest form.

    >>> format_limit(parse_limit("600 requests / 60 s")), format_limit(parse_limit("bucket 60/min, burst 20.0%"))
    ('600/min', 'bucket 60/min burst 20%')
    """
    lane = value.reserve_lane
    reserve = "" if lane is None else f" reserve {_percent(value.reserve_permille)} for {Lane(lane).label}"
    if value.kind == LimitKind.CONCURRENCY:
        return f"{value.amount} concurrent{reserve}"
    metric = "" if value.metric == Metric.REQUESTS else " " + value.metric.value.replace("_", " ")
    unit = next(unit for unit, unit_ms in _UNITS_MS.items() if value.window_ms % unit_ms == 0)
    count = value.window_ms // _UNITS_MS[unit]
    kind = "" if value.kind == LimitKind.WINDOW else f"{value.kind.value} "
    burst = "" if value.burst_permille == 1_000 else f" burst {_percent(value.burst_permille)}"
    return f"{kind}{value.amount}{metric}/{count if count > 1 else ''}{unit}{burst}{reserve}"


def _percent(permille: int) -> str:
    return f"{permille / 10:g}%"


# ---- budgets


def parse_budget(text: str) -> BudgetValue:
    """Read a budget. Raises InvalidRequest(code="bad_budget"), which says what is wrong and how to write it."""
    match = _BUDGET.fullmatch(text.strip())
    if match is None or bool(match["dollar"]) == bool(match["unit"]):
        raise _wrong_budget(text, "it cannot be read")
    unit = BudgetUnit.USD if match["dollar"] else BudgetUnit.TOKENS
    exact = _exact(match) * (NANO if unit == BudgetUnit.USD else 1)
    if exact != int(exact) or exact > MAX_BUDGET:
        raise _wrong_budget(
            text, f"the most is {format_usd(MAX_BUDGET)} or {MAX_BUDGET} tokens, and the least part a nano-dollar or a token"
        )
    name = match["period"] or BudgetPeriod.TOTAL.value
    if name not in BudgetPeriod.values:
        raise _wrong_budget(text, f"{name!r} is no period, day, week and month are")
    end = OnExhausted((match["end"] or OnExhausted.REJECT.value).split()[0])
    shares = _shares(text, match["shares"]) if match["shares"] else _SHARES
    return BudgetValue(int(exact), unit, BudgetPeriod(name), end, match["model"] or "", shares)


def _shares(text: str, written: str) -> tuple[int, ...]:
    shares = [int(one) for one in re.findall(r"\d+", written)]
    try:
        check_thresholds(shares)
    except ValidationError as error:
        raise _wrong_budget(text, "; ".join(error.messages)) from None
    return tuple(shares)


def budget_fields(text: str) -> dict[str, Any]:
    """A budget as the fields of its row: `Budget.objects.create(scope=scope, **budget_fields("$5/day"))`.

    Raises InvalidRequest as `parse_budget`, and for a cheaper model that there is not: `unknown_model`.
    """
    value = parse_budget(text)
    route = ModelRoute.objects.filter(name=value.downgrade_to).first() if value.downgrade_to else None
    if value.downgrade_to and route is None:
        raise InvalidRequest(f"there is no model {value.downgrade_to!r} to downgrade to", code="unknown_model")
    if is_pattern(value.downgrade_to):
        raise InvalidRequest(f"a budget downgrades to one model, and {value.downgrade_to!r} stands for many", code="unknown_model")
    return {**dataclasses.asdict(value), "downgrade_to": route, "thresholds": list(value.thresholds)}


def format_budget(value: BudgetValue) -> str:
    """Write a budget in its shortest form.

    >>> format_budget(parse_budget("$5 / day, hold")), format_budget(parse_budget("2M tokens in total"))
    ('$5.00/day hold', '2000000 tokens in total')
    """
    amount = format_usd(value.amount) if value.unit == BudgetUnit.USD else f"{value.amount} tokens"
    period = " in total" if value.period == BudgetPeriod.TOTAL else f"/{value.period.value}"
    ends = {OnExhausted.REJECT: "", OnExhausted.HOLD: " hold", OnExhausted.DOWNGRADE: f" downgrade to {value.downgrade_to}"}
    told = f" tell at {', '.join(f'{share}%' for share in value.thresholds)}" if value.thresholds else " tell never"
    shares = "" if value.thresholds == _SHARES else told
    return f"{amount}{period}{ends[value.on_exhausted]}{shares}"
