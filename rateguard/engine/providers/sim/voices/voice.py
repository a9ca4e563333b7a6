"""What every dialect of the simulated provider must be able to say. Pure: no clock, no state but what is handed over."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from rateguard.engine.providers.sim.config import LimitRule, Output
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.meters import Meter
from rateguard.engine.providers.sim.prompt_cache import Cached, Part
from rateguard.engine.providers.sim.voices.asked import Asked, Headers, Need, Place, Refusal, Used, Words, Wrong
from rateguard.engine.providers.sim.wire import Exchange

Piece = tuple[int, bytes]
"""Tokens in a piece of a stream, and its bytes; no tokens: it goes out at once."""


class Refused(Exception):
    """A request that this dialect refuses by itself; it carries the answer."""

    def __init__(self, answer: Refusal) -> None:
        super().__init__(answer[0])
        self.answer = answer


class Voice(abc.ABC):
    """One dialect. provider: whose limits and bill it speaks for; dialects of one provider share them."""

    provider: ClassVar[str]
    counts_as = ""
    """The model whose tokens are counted; "": the one that was asked. Vendors' own are not public, and not what a caller's estimate is."""
    dimensions = 1_536
    """Of an embedding whose request names none."""

    # ---- the request

    def request_id(self, number: str) -> str:
        """The id of a request; number: 22 hexadecimal digits."""
        return f"req_{number}"

    @abc.abstractmethod
    def identity(self, request_id: str, processing_ms: int, date: bytes) -> Headers:
        """The headers that every answer has, errors too."""

    @abc.abstractmethod
    def parse(self, place: Place, exchange: Exchange, raw: bytes) -> Asked:
        """What is asked for. Raises Refused."""

    def cacheable(self, asked: Asked) -> bytes | Sequence[Part]:
        """What the prompt cache looks at: the whole prompt where the provider caches by itself, its parts where the caller marks them."""
        return b""

    def input_used(self, asked: Asked, input_tokens: int, cached: Cached) -> Used:
        """What of the input is billed how."""
        return Used(input_tokens, 0, cached.read)

    def most_tokens(self, asked: Asked, output: Output) -> int:
        """The most that will be said, as it is counted."""
        return output.default_max_tokens if asked.max_tokens is None else asked.max_tokens

    # ---- the limits

    def rules(self, rules: Sequence[LimitRule]) -> Sequence[LimitRule]:
        """The limits as this provider holds them."""
        return rules

    @abc.abstractmethod
    def need(self, asked: Asked, used: Used, max_tokens: int) -> Need:
        """What is counted when the request is let in. used: of the input; nothing has been said yet. max_tokens: the most to be said."""

    def settled_tokens(self, asked: Asked, used: Used) -> int | None:
        """What stays counted in token limits at the end; None where nothing is given back."""
        return None

    @abc.abstractmethod
    def limit_headers(self, meters: Iterable[Meter], now_ms: float) -> Headers:
        """What an answer's headers tell of the account's limits."""

    @abc.abstractmethod
    def limit_refusal(self, full: Meter, asked: Asked, need: int, now_ms: float) -> Refusal:
        """The refusal of a request that needs `need` of a limit without room."""

    # ---- the answer

    @abc.abstractmethod
    def whole(self, words: Words) -> tuple[Headers, bytes]:
        """A whole answer."""

    @abc.abstractmethod
    def stream_headers(self, words: Words) -> Headers:
        """The headers of a stream."""

    @abc.abstractmethod
    def events(self, words: Words) -> Iterator[Piece]:
        """A stream, with its terminal event."""

    def embeddings(self, words: Words, vectors: Iterable[Sequence[float]]) -> tuple[Headers, bytes]:
        """An answer with vectors, where the dialect has one."""
        raise NotImplementedError

    def counted(self, asked: Asked, tokens: int) -> tuple[Headers, bytes]:
        """What a counting address answers, where the dialect has one."""
        raise NotImplementedError

    def token(self, raw: bytes) -> tuple[Headers, bytes]:
        """What an OAuth address answers, where the dialect has one."""
        raise NotImplementedError

    @abc.abstractmethod
    def models(self, names: Sequence[str], created: int) -> tuple[Headers, bytes]:
        """The list of models."""

    # ---- what goes wrong

    @abc.abstractmethod
    def wrong(self, wrong: Wrong, detail: str = "", request_id: str = "") -> Refusal:
        """The refusal of a request that makes no sense."""

    @abc.abstractmethod
    def fault(self, fault: Fault, asked: Asked) -> Refusal | None:
        """What a scripted fault answers instead of working; None for one that lets the request in."""

    @abc.abstractmethod
    def broken(self, kind: FaultKind, asked: Asked) -> bytes:
        """What a broken stream ends with."""
