"""What the answers of a deployment say of our counts: how many tokens the provider saw for each that we counted. Pure functions.

The latest answers weigh most: one that is MEMORY answers old weighs a third of a new one. Ratios lie in bins that grow by 5 %, one of which
ends at exactly 1: who counts exactly is reserved exactly.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

LEAST_PERMILLE, MOST_PERMILLE = 500, 3_000
"""What lies outside is taken to be at the edge: a counter gone mad shall not be learned."""
ENOUGH = 20
"""Fewer answers than this tell nothing yet."""
LEAST_TOKENS = 16
"""In a shorter request a token more or less says nothing of the ratio."""
MEMORY = 500
QUANTILE = 0.95

_STEP = math.log(1.05)
_FIRST = math.ceil(math.log(LEAST_PERMILLE / 1_000) / _STEP)
_LAST = math.ceil(math.log(MOST_PERMILLE / 1_000) / _STEP)
BINS = _LAST - _FIRST + 1


@dataclasses.dataclass(frozen=True, slots=True)
class Learned:
    """mean_permille: the provider's count in thousandths of ours. samples: answers that it is from. bins: the weight of each bin."""

    mean_permille: int = 1_000
    samples: int = 0
    bins: tuple[float, ...] = ()

    @property
    def reserve_permille(self) -> int:
        """What to reserve, in thousandths of our count: the p95, and the count itself while too little is known.

        >>> learn(Learned(), [(100, 130)] * 40).reserve_permille, Learned().reserve_permille
        (1340, 1000)
        """
        if self.samples < ENOUGH or not any(self.bins):
            return 1_000
        left = QUANTILE * sum(self.bins)
        for number, weight in enumerate(self.bins):
            left -= weight
            if left <= 0:
                return _upper_edge(number)
        return _upper_edge(len(self.bins) - 1)


def learn(known: Learned, answers: Iterable[tuple[int, int]]) -> Learned:
    """With further answers, the oldest first: what we counted, and what the provider did."""
    mean, samples = float(known.mean_permille), known.samples
    bins = [*known.bins, *[0.0] * BINS][:BINS]
    for counted, billed in answers:
        if counted < LEAST_TOKENS or billed <= 0:
            continue
        ratio = min(max(billed * 1_000 / counted, LEAST_PERMILLE), MOST_PERMILLE)
        samples += 1
        mean += (ratio - mean) / min(samples, MEMORY)
        bins = [weight * (1 - 1 / MEMORY) for weight in bins]
        bins[_bin_of(ratio)] += 1.0
    return Learned(round(mean), samples, tuple(round(weight, 6) for weight in bins))


def reserved(counted: int, permille: int) -> int:
    """What to reserve for so many tokens, rounded up."""
    return -(-counted * permille // 1_000)


def _bin_of(permille: float) -> int:
    return min(max(math.ceil(math.log(permille / 1_000) / _STEP - 1e-9), _FIRST), _LAST) - _FIRST


def _upper_edge(number: int) -> int:
    return min(math.floor(1_000 * math.exp((number + _FIRST) * _STEP) + 1e-6), MOST_PERMILLE)
