"""A file of jobs, one a line, plain or packed by gzip."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

from django.core.management.base import CommandError

from rateguard.jobs.batches.unpacking import PIECE, unpacked


@dataclasses.dataclass(frozen=True, slots=True)
class JobsFile:
    """Where it is. name: of the batch; it is part of the key, so that another name does the same file once more."""

    path: Path
    name: str = ""

    @property
    def is_packed(self) -> bool:
        """Whether gzip packed it."""
        return self.path.suffix == ".gz"

    def pieces(self) -> Iterator[bytes]:
        """Its bytes as they are. Raises CommandError."""
        try:
            with self.path.open("rb") as file:
                while piece := file.read(PIECE):
                    yield piece
        except OSError as error:
            raise CommandError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def unpacked(self) -> Iterator[bytes]:
        """Its lines' bytes."""
        return unpacked(self.pieces()) if self.is_packed else self.pieces()

    def key(self) -> str:
        """The batch's idempotency key: the same for the same content and name. Keys are a tenant's own, so the tenant is part of it."""
        found = hashlib.sha256(self.name.encode() + b"\0")
        for piece in self.unpacked():
            found.update(piece)
        return f"submit-{found.hexdigest()}"
