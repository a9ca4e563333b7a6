"""The sentence at the head of the page: is work taken, how fast is it finished, what is in its way, when is it done.

Figures go in, words come out.
"""

from __future__ import annotations

import dataclasses

DAY_MIN = 24 * 60


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The figures that the sentence is made of.

    bound: where no more jobs are taken because so many wait, how many that are. waiting: jobs that wait now, is_more: at least;
    later: jobs that wait for their time. finished, failed: jobs and attempts of the last minute. workers: None: nobody knows.
    obstacle: what holds most jobs back, as the object of "they wait for …"; held: how many of `looked_at` it does. opens_ms: when there is
    room: 0: now and then, None: not by itself, or nobody knows.
    """

    is_read_only: bool = False
    bound: int | None = None
    waiting: int = 0
    is_more: bool = False
    later: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    gate_is_away: bool = False
    workers: int | None = None
    obstacle: str = ""
    held: int = 0
    looked_at: int = 0
    opens_ms: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Sentence:
    """What is said, and whether all is well: `good`, `warn` or `bad`."""

    text: str
    level: str


def sentence(now: Situation) -> Sentence:
    """Say it."""
    parts = (_accepting(now), _finishing(now), _end(now))
    return Sentence(" ".join(part for part in parts if part), _level(now))


def _accepting(now: Situation) -> str:
    if now.is_read_only:
        return "Not accepting jobs: the database takes no writing."
    if now.bound is not None:
        return f"Not accepting jobs: {now.bound:,} wait, which is the most that may."
    if now.gate_is_away:
        return "Accepting jobs, but the gate does not answer: no new job starts until it is back."
    return "Accepting jobs."


def _finishing(now: Situation) -> str:
    if not now.waiting:
        return _idle(now)
    waiting = f"{_amount(now)} {'waits' if _amount(now) == '1' else 'wait'}{_for_what(now)}."
    return f"No worker runs: {waiting}" if now.workers == 0 else f"{_speed(now)}; {waiting}"


def _speed(now: Situation) -> str:
    if now.finished:
        return f"{now.finished:,} finished in the last minute" if now.gate_is_away else f"Finishing {now.finished:,} a minute"
    return "None finished in the last minute" + (f", and {_counted(now.failed, 'attempt')} failed" if now.failed else "")


def _idle(now: Situation) -> str:
    """Nothing waits for room."""
    parts = ["nothing waits"]
    if now.running:
        parts.insert(0, f"{_counted(now.running, 'job')} {'runs' if now.running == 1 else 'run'}")
    if now.later:
        parts[-1] = f"nothing waits but {_counted(now.later, 'job')} for a later time"
    if now.workers == 0:
        parts.insert(0, "no worker runs")
    text = " and ".join(parts)
    return f"Finishing {now.finished:,} a minute; {text}." if now.finished else f"{text[0].upper()}{text[1:]}."


def _amount(now: Situation) -> str:
    return f"{now.waiting:,}{'+' if now.is_more else ''}"


def _for_what(now: Situation) -> str:
    """, mostly for 600 requests/min on account openai-main."""
    if not now.obstacle:
        return "" if now.gate_is_away else " and start as their turn comes"
    if now.gate_is_away:
        return f", when last seen for {now.obstacle}"
    if now.held >= now.looked_at:
        return f" for {now.obstacle}"
    return f", mostly for {now.obstacle}" if now.held * 2 > now.looked_at else f", {now.held:,} of them for {now.obstacle}"


def _end(now: Situation) -> str:
    """When it is done, or what must happen first."""
    if not now.waiting or now.gate_is_away or now.workers == 0:
        return ""
    if now.finished:
        done = _minutes(now.waiting / now.finished)
        return f"At this rate they are done in {'more than ' if now.is_more else ''}{done}." if now.waiting > 1 else ""
    if not now.obstacle or now.opens_ms == 0:
        return ""
    return "That does not open by itself." if now.opens_ms is None else f"There is room in {_seconds(now.opens_ms)} at the latest."


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return "less than a minute"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} hours" if minutes < 2 * DAY_MIN else f"{minutes / DAY_MIN:,.0f} days"


def _seconds(ms: int) -> str:
    seconds = -(-ms // 1000)
    return f"{seconds} s" if seconds < 120 else _minutes(seconds / 60)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _level(now: Situation) -> str:
    if now.is_read_only or now.bound is not None or now.gate_is_away:
        return "bad"
    if now.workers == 0:
        return "bad" if now.waiting else "warn"
    if not now.waiting or now.finished:
        return "good"
    return "bad" if now.failed else "warn"
