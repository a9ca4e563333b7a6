"""What was refused of many, told together: how many for each reason, with the words of the first."""

from __future__ import annotations

import dataclasses

from rateguard.engine.errors import InvalidRequest


@dataclasses.dataclass(slots=True)
class Refusals:
    """By code: the first refusal, and how many there were."""

    first: dict[str, InvalidRequest] = dataclasses.field(default_factory=dict)
    jobs: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> int:
        """Of all reasons."""
        return sum(self.jobs.values())

    def add(self, refusal: InvalidRequest, jobs: int = 1) -> None:
        """One more."""
        self.first.setdefault(refusal.code, refusal)
        self.jobs[refusal.code] = self.jobs.get(refusal.code, 0) + jobs

    def add_all(self, others: Refusals) -> None:
        """Those of a further page."""
        for code, refusal in others.first.items():
            self.add(refusal, others.jobs[code])

    def raise_first(self) -> None:
        """Where there is one. Raises InvalidRequest."""
        for refusal in self.first.values():
            raise refusal
