"""What was used, as figures that add: counts, tokens, money, and the histograms of times, of which percentiles are taken last."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rateguard.engine.histogram import merge, quantile
from tenants.usage.question import Percentiles

SHARES = (0.5, 0.9, 0.95, 0.99)


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """jobs: those that ended. input_tokens: read in any way. Tokens and money hold corrections.

    latency, wait: histograms of milliseconds, bin → count, of the successes.
    """

    jobs: int = 0
    succeeded: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0
    latency: Mapping[int, int] = dataclasses.field(default_factory=dict)
    wait: Mapping[int, int] = dataclasses.field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.jobs + other.jobs,
            self.succeeded + other.succeeded,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.nano_usd + other.nano_usd,
            _both(self.latency, other.latency),
            _both(self.wait, other.wait),
        )

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens

    @property
    def success(self) -> float | None:
        """The share of the jobs that ended which succeeded; None where none ended."""
        return self.succeeded / self.jobs if self.jobs else None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.jobs or self.nano_usd or self.tokens)


def _both(first: Mapping[int, int], second: Mapping[int, int]) -> Mapping[int, int]:
    return merge(first, second) if first and second else first or second


def percentiles(counts: Mapping[int, int]) -> Percentiles:
    """The percentiles of a histogram, in its unit."""
    found = (quantile(counts, share) for share in SHARES)
    return Percentiles(*(None if value is None else round(value) for value in found))
