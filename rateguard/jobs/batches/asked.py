"""A batch as a caller asks for it, and what may be wrong with a line of it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.intake.submission import Submission
from tenants.models import Tenant

MOST_TOLD = 100
"""So many lines at fault are named in a refusal."""
MOST_MESSAGE_CHARS = 1_000
MOST_NAME_CHARS = 128
MOST_ID_CHARS = 255


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch as a caller asks for it. is_skipping: lines at fault are left out and told of; else one of them refuses the batch.

    webhook: an endpoint of the tenant that hears of the batch's end. The same idempotency_key and content give the same batch.
    """

    tenant: Tenant
    name: str = ""
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    webhook: str = ""
    is_skipping: bool = False
    idempotency_key: str | None = None
    api_key_id: int | None = None
    request_id: str = ""
    via: str = "rest"


class Content(Protocol):
    """What a batch is made of."""

    def lines(self) -> Iterator[bytes | None]:
        """Every line, the empty ones too; None for one that is too long. Once. Raises InvalidRequest where it cannot be read on."""
        ...

    def digest(self) -> str:
        """The same for the same content and options; known once it was read."""
        ...


class Reader(Protocol):
    """Reads lines as jobs."""

    def read(self, raw: bytes, batch: uuid.UUID, line: int) -> Submission:
        """The job of a line. Raises InvalidRequest."""
        ...

    def place_of(self, raw: bytes, pointer: str) -> tuple[str, str]:
        """Of a line at fault its custom_id, as far as it can be read, and the pointer as it is in the line."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class LineFault:
    """A line that is no job. line: the first is 1. pointer: JSON pointer into the line."""

    line: int
    custom_id: str
    code: str
    message: str
    pointer: str = ""


class LinesRefused(InvalidRequest):
    """A batch with lines at fault, of which all or none come in. count: of all of them; faults: the first MOST_TOLD."""

    def __init__(self, faults: Sequence[LineFault], count: int) -> None:
        first = faults[0]
        more = "" if count == 1 else f", and {count - 1:,} more lines are at fault"
        super().__init__(f"nothing was taken: line {first.line}: {first.message}{more}", code="invalid_lines")
        self.faults = tuple(faults)
        self.count = count
        self.errors = ()
