"""A mergeable histogram of whole numbers: counts by bin, bins the same everywhere, so two histograms add bin by bin.

Values below 16 have a bin each. Above, 8 bins a factor of two: bin i covers [16·2^(i/8), 16·2^((i+1)/8)), so the middle of a bin
is within 4.6 % of every value in it. The borders are exact integers, computed without floats, so that every machine agrees.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence

EXACT_BELOW = 16
BINS_A_DOUBLING = 8
LARGEST_VALUE = 2**62


def _ceil_eighth_root(number: int) -> int:
    root = math.isqrt(math.isqrt(math.isqrt(number)))
    return root if root**8 == number else root + 1


# The lower border 16·2^(i/8) is the eighth root of 2^(32+i).
_BORDERS = tuple(range(EXACT_BELOW)) + tuple(_ceil_eighth_root(1 << (32 + i)) for i in range(BINS_A_DOUBLING * 58 + 1))


def bin_of(value: int) -> int:
    """The bin of a value. A negative value (clocks) counts as 0, one above 2**62 as 2**62."""
    return bisect.bisect_right(_BORDERS, min(max(value, 0), LARGEST_VALUE)) - 1


def lower_bound(bin_number: int) -> int:
    """The smallest value of a bin."""
    return _BORDERS[bin_number]


def upper_bound(bin_number: int) -> int:
    """The largest value of a bin."""
    return _BORDERS[bin_number + 1] - 1 if bin_number + 1 < len(_BORDERS) else LARGEST_VALUE


def merge(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    """The histogram of both sets of values."""
    return {number: first.get(number, 0) + second.get(number, 0) for number in first.keys() | second.keys()}


def quantile(counts: Mapping[int, int], q: float) -> float | None:
    """The value below which the share q (0 to 1) of the counted values lies, or None of an empty histogram.

    counts: bin → how many. The answer is the middle of the bin that holds the nearest-rank value: within 4.6 % of it.

    >>> quantile({3: 5, 7: 5}, 0.5), quantile({3: 5, 7: 5}, 0.95)
    (3.0, 7.0)
    """
    return quantiles(counts, (q,))[0]


def quantiles(counts: Mapping[int, int], shares: Sequence[float]) -> tuple[float | None, ...]:
    """Several of them with one look; shares: rising.

    >>> quantiles({3: 5, 7: 5}, (0.5, 0.95)), quantiles({}, (0.5,))
    ((3.0, 7.0), (None,))
    """
    total, seen = sum(counts.values()), 0
    ranks = [max(1, math.ceil(share * total)) for share in shares]
    found: list[float | None] = []
    for number in sorted(counts):
        seen += counts[number]
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append((lower_bound(number) + upper_bound(number)) / 2)
    return (*found, *[None] * (len(ranks) - len(found)))
