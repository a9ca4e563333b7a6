"""What a door does for a file of jobs: the same by REST and in the project's own database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from django.core.management.base import CommandError

from rateguard.api.batches.content import Options
from rateguard.management.batches.file import JobsFile

MOST_TOLD = 20


class Door(Protocol):
    """A batch is what REST shows of it."""

    def submit(self, file: JobsFile, options: Options) -> tuple[dict[str, Any], bool]:
        """The batch, and whether it is new: of one file there is one batch. Raises CommandError."""
        ...

    def look(self, batch: str) -> dict[str, Any] | None:
        """The batch as it stands; None where nobody answers now."""
        ...

    def errors(self, batch: str) -> list[dict[str, Any]]:
        """Lines that became no jobs, the first MOST_TOLD."""
        ...

    def results(self, batch: str) -> Iterator[bytes]:
        """What it answered, in pieces."""
        ...

    def close(self) -> None:
        """Hand over what is still to be handed over."""
        ...


def refused(detail: str, lines: list[dict[str, Any]], count: int) -> CommandError:
    """Bad lines, by their numbers; or another refusal."""
    if not lines:
        return CommandError(detail)
    told = [told_line(line) for line in lines[:MOST_TOLD]]
    more = [f"… and {count - len(told):,} more"] if count > len(told) else []
    head = f"nothing was taken: {count:,} line{'' if count == 1 else 's'} cannot be a job; --on-error skip leaves such lines out"
    return CommandError("\n".join([head, *told, *more]))


def told_line(line: dict[str, Any]) -> str:
    """One of them."""
    return f"  line {line['line']}: {line['message']}" + (f" ({line['pointer']})" if line["pointer"] else "")
