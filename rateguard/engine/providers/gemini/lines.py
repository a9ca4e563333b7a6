"""The pieces of a stream: events behind `data:`, and errors, which come as bare JSON over several lines."""

from __future__ import annotations

from collections.abc import Iterator

_CLOSES = {b"{": b"}", b"[": b"]"}
_NOT_DATA = (b":", b"event:", b"id:", b"retry:")


class JsonLines:
    """Takes a stream of bytes apart into JSON texts, wherever the network cut them."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._bare: list[bytes] = []
        self._closing = b""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The texts that this piece completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield from self._take(line.removesuffix(b"\r"))

    def finish(self) -> Iterator[bytes]:
        """What lacks its closing line."""
        yield from self._take(self._rest.removesuffix(b"\r"))
        self._rest = b""
        yield from self._flush(self._data)
        yield from self._flush(self._bare)

    def _take(self, line: bytes) -> Iterator[bytes]:
        if self._bare:
            self._bare.append(line)
            if line == self._closing:
                yield from self._flush(self._bare)
        elif line.startswith(b"data:"):
            self._data.append(line[5:])
        elif not line:
            yield from self._flush(self._data)
        elif line[:1] in _CLOSES:
            self._closing = _CLOSES[line[:1]]
            self._bare.append(line)
            if line.endswith(self._closing):
                yield from self._flush(self._bare)
        elif not line.startswith(_NOT_DATA):
            yield line

    @staticmethod
    def _flush(lines: list[bytes]) -> Iterator[bytes]:
        if lines:
            text = b"\n".join(lines)
            lines.clear()
            yield text
