"""Short names for tests of breakers: calls that succeed or fail, and how a breaker stands."""

from __future__ import annotations

from rateguard.engine.breaker.rule import BreakerRule, BreakerState, Verdict
from rateguard.engine.gate.contract import BreakerView, Grant
from tests.contract.gate_line import Line, deployment, ended, model

RULE = BreakerRule()
SLOW = BreakerRule(slow_ms=1_000)
CLOSED, OPEN, HALF_OPEN = BreakerState
FAILURE, SUCCESS, NONE = Verdict.FAILURE, Verdict.SUCCESS, Verdict.NONE


def open_with(line: Line, rule: BreakerRule = RULE, *others, **more) -> None:
    line.open(models=[model("m", deployment(rule=rule), *others, **more)])


def grant(line: Line, count: int) -> list[Grant]:
    """So many calls are on their way."""
    line.enqueue(*line.jobs(count))
    granted = list(line.step(count).granted)
    assert len(granted) == count
    return granted


def end(line: Line, granted, verdict: Verdict, latency_ms: int = 10) -> None:
    """One step for each, as processes do it."""
    for one in granted:
        line.step(settle=ended([one], verdict=verdict, latency_ms=latency_ms))


def calls(line: Line, failures: int, successes: int = 0, latency_ms: int = 10) -> None:
    """Successes, then failures, all sent before the first ended."""
    granted = grant(line, failures + successes)
    end(line, granted[:successes], SUCCESS, latency_ms)
    end(line, granted[successes:], FAILURE, latency_ms)


def view(line: Line, name: str = "1") -> BreakerView:
    return next(breaker for breaker in line.gate.inspect(()).breakers if breaker.deployment == name)


def state(line: Line) -> BreakerState:
    return view(line).state


def tripped(line: Line, rule: BreakerRule = RULE, *others) -> None:
    """The breaker of deployment 1 has just opened."""
    open_with(line, rule, *others)
    calls(line, 5)
    assert state(line) == OPEN


def probe_of(line: Line) -> Grant:
    """The time of an open breaker is up and its probe is on its way."""
    line.go_to(view(line).until_ms)
    (probe,) = grant(line, 1)
    return probe
