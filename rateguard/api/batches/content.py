"""A batch's body as lines and options, read as a stream: JSON Lines with the options in the address, or one JSON object with all of it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import orjson

from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.batches.asked import MOST_NAME_CHARS
from rateguard.jobs.batches.lines import Document, lines_of
from rateguard.jobs.batches.spool import Spool
from rateguard.jobs.batches.unpacking import bounded
from rateguard.jobs.faults import escaped
from rateguard.jobs.intake.checking import MOST_METADATA_BYTES

REJECT, SKIP = "reject", "skip"
OPTIONS = ("name", "metadata", "on_error", "webhook", "job")
MOST_WEBHOOK_CHARS = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What is said of the batch as a whole. job: the object `job` for every line that does not say otherwise."""

    name: str = ""
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    on_error: str = REJECT
    webhook: str = ""
    job: dict[str, Any] = dataclasses.field(default_factory=dict)


def read_options(given: Mapping[str, Any]) -> Options:
    """Options as they stand in a JSON object; null is as good as absent. Raises InvalidRequest: `unknown_field`, `invalid_field`."""
    for name in given:
        if name not in OPTIONS:
            place = escaped(name)[:100]
            raise InvalidRequest(f"the fields are jobs, {', '.join(OPTIONS)}", code="unknown_field", pointer=f"/{place}")
    options = Options(**{name: value for name, value in given.items() if value is not None})
    for name, most in (("name", MOST_NAME_CHARS), ("webhook", MOST_WEBHOOK_CHARS)):
        text = getattr(options, name)
        if not isinstance(text, str) or len(text) > most or "\0" in text:
            _refuse(name, f"write a text of at most {most} characters")
    if options.on_error not in {REJECT, SKIP}:
        _refuse("on_error", f"on_error is one of {REJECT}, {SKIP}")
    for name in ("metadata", "job"):
        if not isinstance(getattr(options, name), dict):
            _refuse(name, "write an object")
    written = orjson.dumps(options.metadata)
    if len(written) > MOST_METADATA_BYTES or b"\\u0000" in written:
        _refuse("metadata", f"metadata is an object of at most {MOST_METADATA_BYTES} bytes, without NUL")
    return options


def _refuse(name: str, message: str) -> None:
    raise InvalidRequest(message, code="invalid_field", pointer=f"/{name}")


class JsonLines:
    """The lines of a stream. The same lines and options are the same content."""

    def __init__(self, pieces: Iterable[bytes], options: Options) -> None:
        self._pieces = pieces
        self._hash = hashlib.sha256(orjson.dumps(options, option=orjson.OPT_SORT_KEYS) + b"\n")

    def lines(self) -> Iterator[bytes | None]:
        """Raises InvalidRequest: `body_too_large`, `invalid_gzip`."""
        return lines_of(_hashed(bounded(self._pieces, conf().batch_bytes), self._hash.update))

    def digest(self) -> str:
        """Known once the lines were read."""
        return self._hash.hexdigest()


class JsonDocument:
    """The items of `jobs` of an object. Its members may stand in any order, so all of it is read first. A context manager."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._items = Spool()
        self._pieces = pieces
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._items.__exit__()

    def options(self) -> Options:
        """Read it. Raises InvalidRequest."""
        document = Document(_hashed(bounded(self._pieces, conf().batch_bytes), self._hash.update))
        most = conf().batch_lines
        for count, item in enumerate(document.jobs(), 1):
            if count > most:
                raise InvalidRequest(f"a batch has at most {most:,} lines: send it in several", code="too_many_lines")
            self._items.add(item)
        return read_options(document.members)

    def lines(self) -> Iterator[bytes | None]:
        """The items, once the options were read."""
        return iter(self._items)

    def digest(self) -> str:
        """Of the object as it was written."""
        return self._hash.hexdigest()


def _hashed(pieces: Iterable[bytes], update: Any) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece
