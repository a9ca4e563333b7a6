"""How a tier's turns and lots fall. The gate's Lua is the same, name by name.

Turns are smooth weighted round robin (nginx's): each of those that may go is credited its weight; the one with most goes, and pays the sum.
"""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping, Sequence


def next_turn(standing: MutableMapping[str, int], weights: Sequence[tuple[str, int]]) -> str:
    """Whose turn it is among these (id, weight), in their order; `standing` moves on. Raises ValueError where there is none."""
    if not weights:
        raise ValueError("nobody may go")
    best, total = "", 0
    for one, weight in weights:
        standing[one] = standing.get(one, 0) + weight
        total += weight
        if not best or standing[one] > standing[best]:
            best = one
    standing[best] -= total
    return best


def lot(reservation: bytes, weights: Sequence[tuple[str, int]]) -> str:
    """By lot: where the first 32 bits of the SHA-1 of its id fall. The same id, the same lot. Raises ValueError where there is none."""
    if not weights:
        raise ValueError("nobody may go")
    place = int(hashlib.sha1(reservation, usedforsecurity=False).hexdigest()[:8], 16) % sum(weight for _, weight in weights)
    for one, weight in weights:
        place -= weight
        if place < 0:
            return one
    return weights[-1][0]
