"""All kinds of faults: every campaign has at least one of each line, at one of the targets that it names."""

from __future__ import annotations

import functools
import random

from rateguard.engine.providers.sim.faults import DIALECTS_OWN, FaultKind
from rateguard.torture.faults.clocks import WRONG_BY_S, WrongClock
from rateguard.torture.faults.contract import Kind, Strike
from rateguard.torture.faults.cuts import Cut
from rateguard.torture.faults.freezes import FreezePostgres, FreezeProcess, FreezeValkey
from rateguard.torture.faults.kills import Kill
from rateguard.torture.faults.messages import Steal
from rateguard.torture.faults.postgres_gone import RestartPostgres
from rateguard.torture.faults.provider import bad_answer
from rateguard.torture.faults.valkey_full import FullDisk, FullMemory
from rateguard.torture.faults.valkey_lost import Flush, RestartValkey
from rateguard.torture.proxy import AFTER, BEFORE
from rateguard.torture.site import PROCESSES, WEBS, WORKERS
from rateguard.torture.wires import GATE

VALKEY, POSTGRES, PROVIDER = "valkey", "postgres", "provider"
ROLES = (WEBS, WORKERS)
CUT_IN_COMMIT = "cut_in_commit"
BEING_BACK_S = (4.0, 6.0)
"""What a killed process takes to be back; the schedule keeps it free of other faults for so long."""
SHORT_S, LONG_S, GONE_S, FULL_S = (3.0, 8.0), (15.0, 20.0), (0.5, 2.0), (3.0, 6.0)
CUT_S, MESSAGES_S, CLOCK_S = (4.0, 6.0), (4.0, 8.0), (15.0, 25.0)
WHENS = [(BEFORE, AFTER), (AFTER, BEFORE), (AFTER, AFTER, BEFORE)]


def _of_ours() -> list[Kind]:
    return [
        *(Kind("kill", role, BEING_BACK_S, lambda target, _: Kill(target), wants_work=True) for role in ROLES),
        *(Kind("freeze_short", role, SHORT_S, lambda target, _: FreezeProcess(target)) for role in ROLES),
        Kind("freeze_short", (VALKEY,), SHORT_S, lambda *_: FreezeValkey()),
        Kind("freeze_short", (POSTGRES,), SHORT_S, lambda *_: FreezePostgres()),
        *(Kind("freeze_long", role, LONG_S, lambda target, _: FreezeProcess(target), wants_work=True) for role in ROLES),
        Kind("freeze_long", (VALKEY,), LONG_S, lambda *_: FreezeValkey()),
        Kind("freeze_long", (POSTGRES,), LONG_S, lambda *_: FreezePostgres()),
        Kind("flush", (VALKEY,), GONE_S, lambda *_: Flush()),
        Kind("redis_restart_kept", (VALKEY,), GONE_S, lambda *_: RestartValkey(keeps_file=True)),
        Kind("redis_restart_empty", (VALKEY,), GONE_S, lambda *_: RestartValkey(keeps_file=False)),
        Kind("redis_full", (VALKEY,), FULL_S, lambda *_: FullMemory()),
        Kind("redis_disk_full", (VALKEY,), FULL_S, lambda *_: FullDisk()),
        Kind("postgres_restart", (POSTGRES,), GONE_S, lambda *_: RestartPostgres()),
        *(Kind(CUT_IN_COMMIT, role, CUT_S, lambda target, chance: Cut(target, chance.choice(WHENS))) for role in ROLES),
        Kind("cut_at_gate", PROCESSES, CUT_S, lambda target, chance: Cut(target, chance.choice(WHENS), GATE)),
        Kind("message_lost", (VALKEY,), MESSAGES_S, lambda *_: Steal(is_doubled=False)),
        Kind("message_doubled", (VALKEY,), MESSAGES_S, lambda *_: Steal(is_doubled=True)),
        Kind("clock_ahead", PROCESSES, CLOCK_S, lambda target, _: WrongClock(target, WRONG_BY_S)),
        Kind("clock_behind", PROCESSES, CLOCK_S, lambda target, _: WrongClock(target, -WRONG_BY_S)),
    ]


def _of_the_provider() -> list[Kind]:
    return [
        Kind(f"provider_{kind.value}", (PROVIDER,), (0.0, 0.0), functools.partial(_bad_answer, kind), is_provider=True)
        for kind in FaultKind
        if kind not in DIALECTS_OWN
    ]


def _bad_answer(kind: FaultKind, _: str, chance: random.Random) -> Strike:
    return bad_answer(kind, chance)


KINDS: tuple[Kind, ...] = (*_of_ours(), *_of_the_provider())
