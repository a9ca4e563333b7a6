"""What is in the way, in people's words, from values alone: `600 requests/min on account openai-main`."""

from __future__ import annotations

from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Kind
from rateguard.engine.limits.limit import Metric as EngineMetric
from rateguard.engine.money import format_usd
from rateguard.jobs.insight.binding import Effective
from tenants.models import BudgetPeriod, LimitKind, Metric
from tenants.notation import LimitValue, format_limit

NO_DEPLOYMENT, SLOTS, UNTOLD = "no_deployment", "slots", "untold"
"""Kinds of obstacles beside limits, budgets, pauses, cooldowns and breakers: the last, the gate does not know the tenant or run yet."""
NO_WORKER, NO_SLOT = "no worker", "no free slot"
"""What `text` says of the kind `slots`."""

_METRICS = {
    EngineMetric.REQUESTS: Metric.REQUESTS,
    EngineMetric.TOKENS: Metric.TOKENS,
    EngineMetric.PROVIDER_TOKENS: Metric.TOKENS,
    EngineMetric.INPUT_TOKENS: Metric.INPUT_TOKENS,
    EngineMetric.OUTPUT_TOKENS: Metric.OUTPUT_TOKENS,
    EngineMetric.CONCURRENCY: Metric.CONCURRENCY,
}


def as_typed(limit: Effective) -> str:
    """A limit or budget as people type it, the unit always named: `600 requests/min`, `$5.00/day hold`; "" for a pause."""
    record = limit.record
    if record.kind == Kind.PAUSE:
        return ""
    if record.kind == Kind.BUDGET:
        return _budget(limit)
    metric = _METRICS[record.metric]
    shown = limit.amount if record.learns_from else record.amount
    value = LimitValue(
        shown,
        metric,
        LimitKind.LEARNED if record.learns_from else LimitKind[record.kind.name],
        record.window_ms,
        record.burst_permille,
        record.reserve_permille,
        Lane(record.reserve_lane) if record.reserve_permille else None,
    )
    unit = " requests" if metric == Metric.REQUESTS else ""
    number, rest = str(shown), format_limit(value)
    before, _, after = rest.partition(number)
    return f"{before}{shown:,}{unit}{after}"


def _budget(limit: Effective) -> str:
    record = limit.record
    if limit.scope_kind == "run" and record.metric == EngineMetric.REQUESTS:
        return f"{record.amount:,} calls"
    amount = format_usd(record.amount) if record.metric == EngineMetric.COST else f"{record.amount:,} tokens"
    period = " in total" if limit.period in {"", BudgetPeriod.TOTAL} else f"/{limit.period}"
    ends = {Exhausted.REJECT: "", Exhausted.HOLD: " hold", Exhausted.DOWNGRADE: f" downgrade to {limit.downgrade_to}"}
    return f"{amount}{period}{ends[record.on_exhausted]}"


_NODES = {"global": "all tenants together", "lane": "lane {0}", "": ""}


def node_words(scope_kind: str, scope: str) -> str:
    """A node: `account openai-main`, `user ada`, `all tenants together`."""
    return _NODES.get(scope_kind, "{1} {0}").format(scope, scope_kind).strip()


def in_the_way(kind: str, scope_kind: str, scope: str, text: str) -> str:
    """An obstacle as the object of "they wait for …". text: the limit as typed, or "" where it is not told."""
    node = node_words(scope_kind, scope)
    if kind in {"limit", "budget"}:
        return f"{text} on {node}" if text else f"a {kind} on {node}"
    if kind == SLOTS:
        return "a worker to be started" if text == NO_WORKER else "a free slot at a worker"
    return _OTHERS.get(kind, "{node}").format(node="everything" if scope_kind == "global" else node, scope=scope)


_OTHERS = {
    "pause": "the end of the pause of {node}",
    "cooldown": "{node} to cool down after a 429 of its provider",
    "breaker": "the breaker of {node} to close",
    NO_DEPLOYMENT: "a deployment of model {scope}",
    UNTOLD: "the gate to hear of them",
}


def as_title(kind: str, scope_kind: str, scope: str, text: str) -> str:
    """The same as it stands by itself: `Lane low is paused`, `No worker runs`."""
    node = "everything" if scope_kind == "global" and kind == "pause" else node_words(scope_kind, scope)
    if kind == SLOTS:
        return "No worker runs" if text == NO_WORKER else "No worker has a free slot"
    words = _TITLES.get(kind, "").format(node=node, scope=scope) or in_the_way(kind, scope_kind, scope, text)
    return words[:1].upper() + words[1:]


_TITLES = {
    "pause": "{node} is paused",
    "cooldown": "{node} cools down after a 429 of its provider",
    "breaker": "The breaker of {node} is open",
    NO_DEPLOYMENT: "Model {scope} has no deployment",
    UNTOLD: "The gate was not told of {node} yet",
}
