"""Members of a JSON object replaced within its bytes: everything else stays as the caller wrote it, byte by byte."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import orjson

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_NAME = re.compile(rb"\s*(" + _STRING + rb")\s*:\s*", re.DOTALL)
_TEXT = re.compile(_STRING, re.DOTALL)
_BRACKETS = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_SCALAR = re.compile(rb"[^,\s}\]]+")
_NEXT = re.compile(rb"\s*,")
_OPENING, _CLOSING = b"[{", b"]}"


def with_members(body: bytes, changes: Mapping[str, bytes]) -> bytes:
    """The object with these members at these values (JSON bytes): in the place where it has them, else in front.

    body: a JSON object that somebody has parsed already. A name that stands there twice is replaced twice.

    >>> with_members(b'{"model": "a", "n": 1.0}', {"model": b'"b"', "max_tokens": b"5"})
    b'{"max_tokens":5,"model": "b", "n": 1.0}'
    """
    pieces, at, missing = [], 0, dict(changes)
    for name, start, end in _members(body):
        if name in changes:
            pieces += [body[at:start], changes[name]]
            at = end
            missing.pop(name, None)
    pieces.append(body[at:])
    whole = b"".join(pieces)
    if not missing:
        return whole
    begin = whole.index(b"{") + 1
    added = b",".join(orjson.dumps(name) + b":" + value for name, value in missing.items())
    is_empty = whole[begin:].lstrip().startswith(b"}")
    return whole[:begin] + added + (b"" if is_empty else b",") + whole[begin:]


def _members(body: bytes) -> Iterator[tuple[str, int, int]]:
    """The members of the outermost object: name, and where the value begins and ends."""
    at = body.index(b"{") + 1
    while found := _NAME.match(body, at):
        start = found.end()
        end = _end_of_value(body, start)
        yield orjson.loads(found[1]), start, end
        following = _NEXT.match(body, end)
        if following is None:
            return
        at = following.end()


def _end_of_value(body: bytes, start: int) -> int:
    first = body[start : start + 1]
    if first not in (b"{", b"["):
        found = (_TEXT if first == b'"' else _SCALAR).match(body, start)
        return found.end() if found else start
    depth = 0
    for found in _BRACKETS.finditer(body, start):
        sign = found[0]
        if sign in _OPENING:
            depth += 1
        elif sign in _CLOSING:
            depth -= 1
            if depth == 0:
                return found.end()
    return len(body)
