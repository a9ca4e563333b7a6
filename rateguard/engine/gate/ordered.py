"""A sorted set with Redis' order (score, then member) for the memory twin."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Generic, TypeVar

M = TypeVar("M", str, bytes)


class SortedSet(Generic[M]):
    """Members with integer scores; the names of its methods are those of the Redis commands."""

    def __init__(self) -> None:
        self._scores: dict[M, int] = {}
        self._order: list[tuple[int, M]] = []

    def add(self, member: M, score: int, *, only_new: bool = False) -> bool:
        """Put a member at a score. Returns whether it was new."""
        old = self._scores.get(member)
        if old is not None:
            if only_new or old == score:
                return False
            self.remove(member)
        self._scores[member] = score
        bisect.insort(self._order, (score, member))
        return old is None

    def remove(self, member: M) -> bool:
        """Take a member out. Returns whether it was there."""
        score = self._scores.pop(member, None)
        if score is None:
            return False
        del self._order[bisect.bisect_left(self._order, (score, member))]
        return True

    def first(self) -> tuple[M, int] | None:
        """The member with the lowest score."""
        if not self._order:
            return None
        score, member = self._order[0]
        return member, score

    def up_to(self, score: int, most: int) -> list[M]:
        """Members with scores not above `score`, in order."""
        return [member for found, member in self._order[:most] if found <= score]

    def above(self, score: int, most: int) -> list[M]:
        """Members with scores above `score`, in order."""
        start = bisect.bisect_right(self._order, score, key=lambda entry: entry[0])
        return [member for _, member in self._order[start : start + most]]

    def score(self, member: M) -> int | None:
        """The score of a member."""
        return self._scores.get(member)

    def __contains__(self, member: object) -> bool:
        return member in self._scores

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[M]:
        return (member for _, member in self._order)
