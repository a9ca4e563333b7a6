"""`prove gate`: what the gate promises, by real processes. Each part stands on servers of its own, in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

from rateguard.proofs.findings import Line, Part, Report

STATED_S = 120.0
"""How long the runs under limits last, unless somebody says otherwise."""
LEAST_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A part: where its function is, and what it does in a sentence."""

    function: str
    about: str


PARTS = {
    "tokens": Plan("windows.tokens", "four workers, 100 requests and 10,000 tokens in 10 s; requests of 50–250 tokens"),
    "requests": Plan("windows.requests", "the same limits, requests of 50 tokens"),
    "kills": Plan("windows.kills", "requests of 50 tokens while workers are killed by turns"),
    "clock": Plan("windows.clock", "requests of 50 tokens, one worker's clock five minutes ahead"),
    "restart": Plan("windows.restart", "requests of 50–250 tokens; all but the provider killed twice; then Redis's file is lost too"),
    "weights": Plan("shares.weights", "three tenants of weights 5 : 3 : 1 with a backlog in one lane"),
    "episode": Plan("episodes.episode", "20 s in which the provider answers nothing but 429"),
    "high": Plan("urgent.high", "a HIGH job behind 10,000 LOW ones"),
    "breaker": Plan("failing.breaker", "a deployment that fails, seen by four workers"),
}


def run(*, seconds: float = STATED_S, only: str | None = None, is_postgres: bool = False) -> Report:
    """Run all parts, or one, one after the other. About a quarter of an hour in all as stated."""
    return Report("gate", [prove(name, seconds, is_postgres=is_postgres) for name in ([only] if only else PARTS)])


def prove(name: str, seconds: float = STATED_S, *, is_postgres: bool = False) -> Part:
    """Run one part in a process of its own. A part that breaks has one line, which is not met."""
    print(f"{name}: {PARTS[name].about} ...", file=sys.stderr, flush=True)
    argv = [sys.executable, "-m", "rateguard.proofs", name, "--seconds", str(seconds), *(["--postgres"] if is_postgres else [])]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        return Part(name, PARTS[name].about, [Line("it ran to its end", "yes", f"no, exit code {done.returncode}", is_met=False)], 0.0)
    found = json.loads(done.stdout.splitlines()[-1])
    return Part(name, PARTS[name].about, [Line(**line) for line in found["lines"]], found["took_s"])
