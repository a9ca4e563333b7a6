"""The demo's requests: sizes and order of a real chat service, text of real questions; the same ones in every run.

Every tenant gets the same number of jobs in every lane, so only the fair order can tell them apart.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import gzip
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from rateguard.engine.encodings import O200K, get_encoding
from rateguard.engine.lanes import Lane
from rateguard.engine.tokens import count_messages

DEFAULT_JOBS = 1_005
MODEL = "sim-chat"
TENANTS = ("aurora", "birch", "cedar")
TEAMS = ("support", "research")
USERS_A_TENANT = 4
ROUND = len(TENANTS) * len(Lane)
"""One job for each tenant in each lane."""

_DATA = Path(__file__).parent / "data"


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One request to make. is_rest: by REST, else by `.delay()`."""

    tenant: str
    lane: Lane
    user: str
    team: str
    prompt: str
    max_tokens: int
    is_rest: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """A request of the trace, in tokens."""

    input_tokens: int
    output_tokens: int


def rounded_up(jobs: int) -> int:
    """The next number of jobs that gives each tenant the same in each lane.

    >>> rounded_up(200), rounded_up(1_005)
    (210, 1005)
    """
    return -(-jobs // ROUND) * ROUND


def make_calls(jobs: int, seed: int = 1) -> list[Call]:
    """That many calls (a multiple of 15) in the trace's order; `seed` decides users and which questions a prompt is made of."""
    chance = random.Random(seed)
    sizes = itertools.islice(itertools.cycle(trace()), jobs)
    return [_call(number, size, chance) for number, size in enumerate(sizes)]


def _call(number: int, size: Size, chance: random.Random) -> Call:
    tenant = TENANTS[number % len(TENANTS)]
    user = chance.randrange(USERS_A_TENANT)
    return Call(
        tenant=tenant,
        lane=list(Lane)[number // len(TENANTS) % len(Lane)],
        user=f"{tenant}-{user + 1}",
        team=TEAMS[user % len(TEAMS)],
        prompt=_prompt(size.input_tokens, chance.randrange(len(_questions()))),
        max_tokens=size.output_tokens,
        is_rest=number % 2 == 0,
    )


@functools.cache
def trace() -> tuple[Size, ...]:
    """The requests of the shipped trace, in the order of their arrival."""
    with gzip.open(_DATA / "azure_conv_2023.csv.gz", "rt", encoding="ascii") as file:
        return tuple(Size(int(row["input_tokens"]), int(row["output_tokens"])) for row in csv.DictReader(file))


@functools.cache
def _questions() -> Sequence[list[int]]:
    """The shipped questions as tokens, each with the blank line that parts it from the next."""
    lines = (_DATA / "gsm8k_questions.jsonl").read_text(encoding="utf-8").splitlines()
    encode = get_encoding(O200K).encode_ordinary
    return [encode(json.loads(line)["prompt"] + "\n\n") for line in lines]


@functools.cache
def _overhead() -> int:
    """What a chat of one message costs beside its text, in tokens."""
    return count_messages([{"role": "user", "content": ""}], MODEL)


def _prompt(input_tokens: int, first: int) -> str:
    """Questions from the first on, cut so that the request has that many input tokens, give or take one at the cut."""
    wanted = max(1, input_tokens - _overhead())
    tokens = itertools.islice(_tokens_from(first), wanted)
    return get_encoding(O200K).decode(list(tokens))


def _tokens_from(first: int) -> Iterator[int]:
    questions = _questions()
    for number in itertools.count(first):
        yield from questions[number % len(questions)]
