"""AWS's binary frames of events. All numbers are big-endian; both sums are CRC32. Source: the format that botocore reads."""

from __future__ import annotations

import struct
import zlib

_TEXT = 7


def frame(payload: bytes, **headers: str) -> bytes:
    """One frame; each header's value is a text, its name gets a colon in front and dashes for underscores."""
    packed = b"".join(_header(":" + name.replace("_", "-"), value) for name, value in headers.items())
    lengths = struct.pack(">II", len(packed) + len(payload) + 16, len(packed))
    front = lengths + struct.pack(">I", zlib.crc32(lengths)) + packed + payload
    return front + struct.pack(">I", zlib.crc32(front))


def _header(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _TEXT, len(value)) + value.encode()


def event(kind: str, payload: bytes) -> bytes:
    """An event; its name stands in the header alone."""
    return frame(payload, event_type=kind, content_type="application/json", message_type="event")


def exception(kind: str, payload: bytes) -> bytes:
    """An exception: it ends the stream."""
    return frame(payload, exception_type=kind, content_type="application/json", message_type="exception")
