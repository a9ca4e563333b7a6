"""The lines of a stream, wherever it was cut into pieces: JSONL line by line, and a JSON document whose jobs are as good as lines.

Neither holds more than one line and one piece of the stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.faults import escaped

MOST_LINE_BYTES = 8 * 1024 * 1024
"""As much as a single job's body may have."""
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\],]', re.DOTALL)
_IN_TEXT = re.compile(rb'["\\]')
_OPENS_JOBS = re.compile(rb'\s*"jobs"\s*:\s*')
_LONGEST_OPENING = 1_000


def lines_of(pieces: Iterable[bytes], most: int = MOST_LINE_BYTES) -> Iterator[bytes | None]:
    """Each line without its end, the empty ones too; None for one of more than `most` bytes."""
    held, is_too_long = bytearray(), False
    for piece in pieces:
        *ended, last = piece.split(b"\n")
        for one in ended:
            is_too_long = is_too_long or len(held) + len(one) > most
            yield None if is_too_long else bytes(held + one) if held else one
            held.clear()
            is_too_long = False
        is_too_long = is_too_long or len(held) + len(last) > most
        if is_too_long:
            held.clear()
        else:
            held += last
    if is_too_long or held:
        yield None if is_too_long else bytes(held)


class Document:
    """A JSON object in pieces. `jobs()` gives each item of the list `jobs` as it is written; the other members are in `members` then.

    Only where the items begin and end is looked for here; whether they are JSON is for whoever reads them.
    """

    def __init__(self, pieces: Iterable[bytes], most: int = MOST_LINE_BYTES) -> None:
        self.members: dict[str, Any] = {}
        self._pieces = pieces
        self._most = most
        self._held = bytearray()
        self._is_too_long = False
        self._depth = 0
        self._is_in_jobs = self._is_after_jobs = self._has_jobs = self._has_items = False
        self._is_after_comma = self._has_ended = False
        self._is_in_text = self._is_escaped = False

    def jobs(self) -> Iterator[bytes | None]:
        """The items in their order; None for one that is too long. Raises InvalidRequest: `invalid_json`, `invalid_field`."""
        for piece in self._pieces:
            yield from self._items_in(piece)
        if not self._has_ended or self._held.strip():
            raise _broken("it ends before its last bracket, or goes on behind it")
        if not self._has_jobs:
            raise InvalidRequest("a batch has a list of jobs", code="missing_field", pointer="/jobs")

    def _items_in(self, piece: bytes) -> Iterator[bytes | None]:
        start, place = 0, self._end_of_text(piece, 0)
        while (found := _TOKEN.search(piece, place)) is not None:
            place, token = found.end(), found[0]
            if len(token) > 1:
                continue
            if token == b'"':
                self._is_in_text = True
                place = self._end_of_text(piece, place)
            elif self._is_edge(token, piece, start, found.start()):
                self._keep(piece[start : found.start()])
                start = place
                yield from self._at_edge(token)
            else:
                self._depth += 1 if token in b"{[" else -1 if token in b"}]" else 0
        self._keep(piece[start:])

    def _end_of_text(self, piece: bytes, place: int) -> int:
        """Where the text ends that a piece was cut in."""
        if self._is_escaped and piece:
            place, self._is_escaped = place + 1, False
        while self._is_in_text:
            found = _IN_TEXT.search(piece, place)
            if found is None:
                return len(piece)
            place = found.end()
            if found[0] == b'"':
                self._is_in_text = False
            elif place == len(piece):
                self._is_escaped = True
                return place
            else:
                place += 1
        return place

    def _keep(self, part: bytes) -> None:
        self._is_too_long = self._is_too_long or len(self._held) + len(part) > self._most
        if self._is_too_long:
            self._held.clear()
        else:
            self._held += part

    # ---- where members and items begin and end

    def _is_edge(self, token: bytes, piece: bytes, start: int, end: int) -> bool:
        """Whether something begins or ends here: the object, a member of it, the list of jobs, one of them."""
        if self._depth == 2:
            return self._is_in_jobs and token in b",]}"
        if self._depth == 1 and token == b"[":
            length = len(self._held) + end - start
            return length <= _LONGEST_OPENING and _OPENS_JOBS.fullmatch(bytes(self._held) + piece[start:end]) is not None
        return self._depth == 0 or (self._depth == 1 and token in b",]}")

    def _at_edge(self, token: bytes) -> Iterator[bytes | None]:
        text, is_too_long = bytes(self._held), self._is_too_long
        self._held.clear()
        self._is_too_long = False
        if self._depth == 2:
            yield from self._item(token, text, is_too_long=is_too_long)
        elif self._depth == 0:
            self._begin(token, text)
        elif token == b"[":
            self._open_jobs()
        else:
            self._member(token, text, is_too_long=is_too_long)

    def _begin(self, token: bytes, text: bytes) -> None:
        if token != b"{" or text.removeprefix(_MARK).strip() or self._has_ended:
            raise _broken("it is one object")
        self._depth = 1

    def _open_jobs(self) -> None:
        if self._has_jobs:
            raise InvalidRequest("jobs stands twice: send it once", code="invalid_json", pointer="/jobs")
        self._is_in_jobs = self._has_jobs = True
        self._depth = 2

    def _item(self, token: bytes, text: bytes, *, is_too_long: bool) -> Iterator[bytes | None]:
        is_nothing = not is_too_long and not text.strip()
        is_last = token == b"]"
        if token == b"}" or (is_nothing and (self._has_items or not is_last)):
            raise _broken("an item of jobs is missing, or a bracket")
        if not is_nothing:
            self._has_items = True
            yield None if is_too_long else text
        if is_last:
            self._is_in_jobs, self._is_after_jobs, self._depth = False, True, 1

    def _member(self, token: bytes, text: bytes, *, is_too_long: bool) -> None:
        """The end of a member, or what is left behind the list of jobs."""
        if token == b"]":
            raise _broken("a bracket is missing")
        is_empty = token == b"}" and not text.strip() and not (self.members or self._is_after_comma)
        is_after_jobs, self._is_after_jobs, self._is_after_comma = self._is_after_jobs, False, token == b","
        if token == b"}":
            self._depth, self._has_ended = 0, True
        if is_after_jobs and text.strip():
            raise _broken("something stands behind the list of jobs")
        if is_after_jobs or is_empty:
            return
        if is_too_long:
            raise InvalidRequest(f"a member has more than {self._most} bytes", code="invalid_field")
        try:
            read = orjson.loads(b"{" + text + b"}")
        except orjson.JSONDecodeError as error:
            raise _broken(str(error)) from None
        if not read:
            raise _broken("a member is missing")
        self._note(read)

    def _note(self, read: dict[str, Any]) -> None:
        for name, value in read.items():
            if name == "jobs":
                raise InvalidRequest("jobs is a list of jobs", code="invalid_field", pointer="/jobs")
            if name in self.members:
                raise InvalidRequest("this name stands twice: send it once", code="invalid_json", pointer=f"/{escaped(name)[:100]}")
            self.members[name] = value


_MARK = b"\xef\xbb\xbf"


def _broken(what: str) -> InvalidRequest:
    return InvalidRequest(f"the body is not JSON in UTF-8: {what}", code="invalid_json")
