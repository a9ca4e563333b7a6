"""What the callers of a campaign ask for: drawn from the seed alone, so that a campaign can be repeated."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import random
import time
from typing import Any

from rateguard.engine.lanes import Lane
from rateguard.torture.work.receiver import NAME
from rateguard.torture.work.world import CHAT, EMBED, SHARES, Caller, World

CALL_TIMEOUT_S = 20
"""Of one call at the provider."""
LANES = [lane.label for lane in Lane]


class Kind(enum.StrEnum):
    """How a job comes in, or what is done to it afterwards."""

    PLAIN = "plain"
    ONCE = "at_most_once"
    SOON = "run_at"
    WAIT = "wait"
    STRICT = "strict"
    EMBED = "embeddings"
    CANCEL = "cancel"
    RETRY = "retry"
    RUN = "run"
    STREAM = "stream"
    HOOK = "webhook"
    BATCH = "batch"


WEIGHTS = {
    Kind.PLAIN: 40,
    Kind.ONCE: 12,
    Kind.SOON: 7,
    Kind.WAIT: 6,
    Kind.STRICT: 3,
    Kind.EMBED: 12,
    Kind.CANCEL: 8,
    Kind.RETRY: 5,
    Kind.RUN: 7,
    Kind.STREAM: 12,
    Kind.HOOK: 12,
    Kind.BATCH: 2,
}
USERS, TEAMS = ("ada", "ben", "cyn"), ("ml", "web", "")


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """One job that somebody wants. delivery: as it was asked for. then_s: how long after its acceptance a cancel follows."""

    kind: Kind
    caller: Caller
    body: dict[str, Any]
    headers: dict[str, str]
    delivery: str
    web: int
    then_s: float = 0.0

    @property
    def job(self) -> dict[str, Any]:
        """The object beside the body."""
        found: dict[str, Any] = self.body["job"]
        return found


class Wishes:
    """Draws one wish after the other."""

    def __init__(self, world: World, seed: int, name: str = "jobs") -> None:
        self._chance = random.Random(f"{seed} {name}")
        self._callers = {caller.tenant: caller for caller in world.callers}
        self._name = f"{name}-{seed}"
        self._number = 0

    def draw(self, kind: Kind | None = None, tenant: str | None = None) -> Wish:
        """The next one, of a kind and a tenant where they are named."""
        chance = self._chance
        self._number += 1
        kind = kind or chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        tenant = "acme" if kind in {Kind.HOOK, Kind.BATCH} else tenant
        caller = self._callers[tenant or chance.choices(list(SHARES), list(SHARES.values()))[0]]
        wish = Wish(
            kind=kind,
            caller=caller,
            body=self._body(kind),
            headers={"Idempotency-Key": f"{self._name}-{self._number}"},
            delivery="at_most_once" if kind == Kind.ONCE else "at_least_once",
            web=chance.randrange(2),
            then_s=chance.uniform(0.0, 2.0),
        )
        self._shape(wish)
        return wish

    def _body(self, kind: Kind) -> dict[str, Any]:
        text = f"{self._name} asks question {self._number}: " + "why " * self._chance.randint(1, 20)
        job = {
            "lane": self._chance.choice(LANES),
            "user": self._chance.choice(USERS),
            "team": self._chance.choice(TEAMS),
            "labels": {"kind": kind.value, "number": str(self._number % 5)},
            "timeout": CALL_TIMEOUT_S,
        }
        if kind == Kind.EMBED:
            return {"model": EMBED, "input": [text, "and this"], "dimensions": 8, "encoding_format": "float", "job": job}
        return {"model": CHAT, "messages": [{"role": "user", "content": text}], "max_tokens": self._chance.randint(20, 80), "job": job}

    def _shape(self, wish: Wish) -> None:
        """What the kind adds. Where a budget only holds, a job has a deadline: else it might wait for ever."""
        chance = self._chance
        seconds = chance.uniform(20.0, 45.0)
        if wish.caller.budget == "hold" or chance.random() < 0.08:
            wish.job["deadline"] = _in(seconds)
        match wish.kind:
            case Kind.ONCE:
                wish.job["delivery"] = "at_most_once"
            case Kind.SOON:
                wish.job["run_at"] = _in(chance.uniform(1.0, 6.0))
            case Kind.WAIT:
                wish.headers["Prefer"] = f"wait={chance.randint(1, 5)}"
            case Kind.STREAM:
                wish.body["stream"] = True
            case Kind.HOOK:
                wish.job["webhook"] = NAME
            case Kind.STRICT:
                wish.headers["Prefer"] = "handling=strict, wait=30"
            case _:
                pass


def _in(seconds: float) -> str:
    """A moment so far from now, as the API reads it."""
    return dt.datetime.fromtimestamp(time.time() + seconds, dt.UTC).isoformat()
