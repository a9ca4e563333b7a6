"""What was used, as figures that add: counts, tokens, money, and the histograms of times, of which percentiles are taken last."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping

from rateguard.engine.histogram import quantiles
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
        return total((self, other))

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


def total(tallies: Iterable[Tally]) -> Tally:
    """Added up."""
    found = list(tallies)
    if len(found) == 1:
        return found[0]
    return Tally(
        sum(one.jobs for one in found),
        sum(one.succeeded for one in found),
        sum(one.input_tokens for one in found),
        sum(one.output_tokens for one in found),
        sum(one.nano_usd for one in found),
        _merged([one.latency for one in found if one.latency]),
        _merged([one.wait for one in found if one.wait]),
    )


def _merged(histograms: list[Mapping[int, int]]) -> Mapping[int, int]:
    if len(histograms) < 2:
        return histograms[0] if histograms else {}
    counts: dict[int, int] = defaultdict(int)
    for histogram in histograms:
        for number, count in histogram.items():
            counts[number] += count
    return dict(counts)


def percentiles(counts: Mapping[int, int]) -> Percentiles:
    """The percentiles of a histogram, in its unit."""
    return Percentiles(*(None if value is None else round(value) for value in quantiles(counts, SHARES)))
