"""Which jobs the open transaction of this thread submits: waiting for one of them there would last for ever."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable

from django.db import connection, transaction


@dataclasses.dataclass(frozen=True, slots=True)
class _Until:
    """Lies among what Django calls on commit, so that a rollback, also to a savepoint, takes it away."""

    jobs: frozenset[uuid.UUID]

    def __call__(self) -> None:
        """The commit: nothing is left to remember."""


def note(jobs: Iterable[uuid.UUID]) -> None:
    """These were just submitted. Outside of a transaction they are committed already."""
    if connection.in_atomic_block:
        transaction.on_commit(_Until(frozenset(jobs)))


def is_uncommitted(jobs: Iterable[uuid.UUID]) -> bool:
    """Whether the transaction that is open here submits one of them."""
    if not connection.in_atomic_block:
        return False
    asked = frozenset(jobs)
    return any(isinstance(function, _Until) and function.jobs & asked for _, function, *_ in connection.run_on_commit)
