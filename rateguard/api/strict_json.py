"""A body as JSON, strictly: what readers differ about is refused with its place, so that what is stored is what was sent.

orjson reads it. A second look, at the names and whole numbers alone, finds what orjson passes over in silence: a name that stands twice in
an object (the last one would win), and a whole number beyond 64 bits (it would become a rounded one).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from rateguard.engine.errors import InvalidRequest, together
from rateguard.jobs.faults import escaped

MOST_TOLD = 20
LEAST, MOST = -(2**63), 2**64 - 1
_DIGITS = len(str(LEAST))


class _OddError(Exception):
    """There is something to find."""


def read_json_object(raw: bytes) -> dict[str, Any]:
    """The object. Raises InvalidRequest: `invalid_json`, `invalid_field`, `too_deep`."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON in UTF-8: {error}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise InvalidRequest("the body is a JSON object", code="invalid_field")
    try:
        _LOOK.decode(raw.decode())
    except _OddError:
        raise together(_faults_in(raw)) from None
    except RecursionError:
        raise InvalidRequest("the request is nested too deeply", code="too_deep") from None
    return value


def _is_too_long(digits: str) -> bool:
    return len(digits) > _DIGITS or not LEAST <= int(digits) <= MOST


def _whole(digits: str) -> None:
    if len(digits) >= _DIGITS - 1 and _is_too_long(digits):
        raise _OddError


def _names(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _OddError


_LOOK = json.JSONDecoder(object_pairs_hook=_names, parse_int=_whole, parse_float=str)


# ---- once there is something: where


@dataclasses.dataclass(frozen=True, slots=True)
class _Odd:
    """A value that is at fault."""

    detail: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Object:
    """An object's pairs, also those whose name stands twice."""

    pairs: list[tuple[str, Any]]


_TELL = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_int=lambda digits: _Odd("this whole number has more than 64 bits: send it as a text") if _is_too_long(digits) else None,
    parse_float=str,
)


def _faults_in(raw: bytes) -> list[InvalidRequest]:
    found = itertools.islice(_places(_TELL.decode(raw.decode())), MOST_TOLD)
    return [InvalidRequest(detail, code="invalid_json", pointer=pointer) for pointer, detail in found]


def _places(tree: Any) -> Iterator[tuple[str, str]]:
    """Pointers and what is wrong there. Without recursion, for the tree may be deep."""
    ahead = [("", tree)]
    while ahead:
        pointer, value = ahead.pop()
        if isinstance(value, _Odd):
            yield pointer, value.detail
        elif isinstance(value, _Object):
            for name, count in Counter(name for name, _ in value.pairs).items():
                if count > 1:
                    yield f"{pointer}/{escaped(name[:100])}", f"this name stands {count} times in one object: send it once"
            ahead += [(f"{pointer}/{escaped(name[:100])}", one) for name, one in value.pairs]
        elif isinstance(value, list):
            ahead += [(f"{pointer}/{index}", one) for index, one in enumerate(value)]
