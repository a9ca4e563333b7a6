"""One thing that is wrong with a field of a request."""

from __future__ import annotations

from collections.abc import Iterator

from rateguard.engine.errors import InvalidRequest


def fault(message: str, pointer: str, code: str = "invalid_field") -> InvalidRequest:
    """A refusal of one field."""
    return InvalidRequest(message, code=code, pointer=pointer)


def as_whole(value: object, most: int, pointer: str) -> Iterator[InvalidRequest]:
    """What is wrong with a whole number from 1 to `most`; nothing where it is absent."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (is_whole and 1 <= value <= most):  # type: ignore[operator]  # is_whole says that it is an int
        yield fault(f"write a whole number from 1 to {most}", pointer)


def escaped(key: str) -> str:
    """A key as RFC 6901 writes it in a pointer."""
    return key.replace("~", "~0").replace("/", "~1")
