"""What a provider's dialect must be able to say for the table of cases: each provider has a module here with one `SPEECH`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from rateguard.engine.errors import ErrorKind
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.provider import Provider


@dataclasses.dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model calls; arguments: a JSON object as text."""

    id: str
    name: str
    arguments: str


_USAGE = Usage(input_tokens=11, output_tokens=7)


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What a model says. pieces: of its text, as a stream brings them. finish: OpenAI's word. usage: as billed."""

    pieces: tuple[str, ...] = ("Natalia ", "sold ", "72", " clips.")
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    finish: str = "stop"
    usage: Usage = _USAGE

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


@dataclasses.dataclass(frozen=True, slots=True)
class Wrong:
    """An error as the provider sends it, and what it means."""

    status: int
    body: bytes
    kind: ErrorKind
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    retry_after_ms: int | None = None
    cools: str | None = None


class Speech(Protocol):
    """A provider as the suite hears it. Header names are in lower case.

    lacks: the names of those SAID for which it has no words, with the reason; `history:<word>`: a word of HISTORY that it does not send.
    """

    provider: type[Provider]
    target: Target
    lacks: Mapping[str, str]

    def whole(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of a whole answer."""
        ...

    def stream(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of a streamed answer, with its terminal event."""
        ...

    def errors(self) -> Mapping[str, Wrong]:
        """Errors with a status of their own, by a name for the test: each class of the provider's, each form of Retry-After."""
        ...

    def errors_in_stream(self) -> Mapping[str, tuple[bytes, ErrorKind]]:
        """What ends a stream that began well (the bytes of the error event alone), and what it means."""
        ...
