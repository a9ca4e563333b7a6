"""Pieces of bytes on their way from one step to the next: in memory while they are few, else in a file without a name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Self

IN_MEMORY = 4 * 1024 * 1024
_LENGTH = 8
_NOTHING = b"\xff" * _LENGTH


class Spool:
    """Add pieces, then read them in their order. None is a piece too. A context manager, which ends with the pieces."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY, prefix="rateguard-batch-")  # noqa: SIM115 - `__exit__` closes it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, piece: bytes | None) -> None:
        """At the end."""
        self._file.write(_NOTHING if piece is None else len(piece).to_bytes(_LENGTH, "big"))
        self._file.write(piece or b"")

    def __iter__(self) -> Iterator[bytes | None]:
        """From the beginning."""
        self._file.seek(0)
        while head := self._file.read(_LENGTH):
            yield None if head == _NOTHING else self._file.read(int.from_bytes(head, "big"))
