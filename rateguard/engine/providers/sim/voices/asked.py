"""What a request asks for and what is said to it, in the simulated provider's words: the same for every dialect."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rateguard.engine.providers.sim.config import INPUT_TOKENS, TOKENS

Headers = list[tuple[bytes, bytes]]
Refusal = tuple[int, Headers, bytes]
"""Status, headers and body of an answer that lets nothing in."""


class Kind(enum.StrEnum):
    """What an address is for. COUNT: tokens are counted and nothing is billed. TOKEN: an OAuth token for a service account."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    COUNT = "count"
    MODELS = "models"
    TOKEN = "token"  # noqa: S105 - a kind of address


class Finish(enum.StrEnum):
    """Why an answer ends."""

    STOP = "stop"
    LENGTH = "length"
    TOOL = "tool"
    FILTER = "filter"


class Wrong(enum.StrEnum):
    """What is wrong with a request by itself."""

    KEY = "key"
    ADDRESS = "address"
    BODY = "body"
    MAX_TOKENS = "max_tokens"
    MODEL = "model"
    VERSION = "version"
    PREVIOUS = "previous"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """An address. model: where it stands in the path. is_streamed: the path says so. form: which of a dialect's forms is spoken there."""

    kind: Kind
    model: str = ""
    is_streamed: bool = False
    form: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; schema: of its arguments."""

    name: str
    schema: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One request, understood.

    countable: in the shape that the token counter knows. max_tokens: what it says, None where it does not. must_call: a tool has to be
    called, one of `tools`. schema: JSON is wanted, of this shape ({}: any object). thinks: reasoning is wanted. tier: flex, priority or "".
    request_id: of the request, where the dialect says it in bodies too.
    texts: what is to be embedded, each as bytes that tell it apart. dimensions: of an embedding; 0: as many as the model has.
    """

    place: Place
    model: str
    body: Mapping[str, Any]
    countable: Mapping[str, Any]
    max_tokens: int | None = None
    is_streamed: bool = False
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    schema: Mapping[str, Any] | None = None
    thinks: bool = False
    tier: str = ""
    texts: Sequence[bytes] = ()
    dimensions: int = 0
    request_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What the model says: pieces of a token each. tool: the pieces are the arguments of its call."""

    pieces: Sequence[str] = ()
    reasoning: Sequence[str] = ()
    tool: str = ""
    finish: Finish = Finish.STOP

    @property
    def tokens(self) -> int:
        """All that is billed as output."""
        return len(self.pieces) + len(self.reasoning)


@dataclasses.dataclass(frozen=True, slots=True)
class Used:
    """What is billed. input: all of it; of that `cached` was read from a cache, `written` and (for an hour) `written_long` put into one.

    output: all of it; of that `reasoning`.
    """

    input: int
    output: int
    cached: int = 0
    written: int = 0
    written_long: int = 0
    reasoning: int = 0
    tier: str = ""

    @property
    def plain_input(self) -> int:
        """What no cache has to do with."""
        return self.input - self.cached - self.written - self.written_long


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """What a request takes of an account's limits when it is let in, in the provider's own way to count."""

    tokens: int
    input_tokens: int = 0

    def of(self, metric: str) -> int:
        """In the unit of a limit. What is counted as it is produced needs room for one."""
        if metric == TOKENS:
            return self.tokens
        return self.input_tokens if metric == INPUT_TOKENS else 1


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """An accepted request with what is said to it: all that a dialect needs to put into bytes.

    answer: a number of its own, in hexadecimal, for ids. created: epoch seconds. took_ms: how long the answer takes by the model's clock.
    chunk: tokens in a piece of a stream. ping: one before each so many pieces, 0: none.
    """

    asked: Asked
    said: Said
    used: Used
    answer: str
    created: int
    took_ms: int = 0
    chunk: int = 1
    ping: int = 0

    @property
    def model(self) -> str:
        """The model that answers."""
        return self.asked.model

    def cut(self, pieces: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Pieces of a stream, of `chunk` tokens: (tokens, text)."""
        if self.chunk == 1:
            return ((1, piece) for piece in pieces)
        parts = (pieces[start : start + self.chunk] for start in range(0, len(pieces), self.chunk))
        return ((len(part), "".join(part)) for part in parts)
