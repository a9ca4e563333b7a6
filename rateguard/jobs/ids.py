"""Job ids: UUIDv7 (RFC 9562), so that an index grows at one end. Nothing sorts by id: a canvas brings ids of its own."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterable

_BYTES = 16


def new_id() -> uuid.UUID:
    """48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    number = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return uuid.UUID(int=number)


def packed(ids: Iterable[uuid.UUID]) -> bytes:
    """Ids as processes tell them each other: 16 bytes each, one after the other.

    >>> unpacked(packed([uuid.UUID(int=7)])) == [uuid.UUID(int=7)]
    True
    """
    return b"".join(one.bytes for one in ids)


def unpacked(data: bytes) -> list[uuid.UUID]:
    """The ids again; what is too short to be one is left out."""
    return [uuid.UUID(bytes=data[at : at + _BYTES]) for at in range(0, len(data) - _BYTES + 1, _BYTES)]
