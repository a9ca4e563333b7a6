"""Sticky sessions: the same session goes to the same deployment, whose prompt cache knows it. Weighted rendezvous hashing; pure functions.

    score = −weight / ln(h),  h in (0, 1) from SHA-256 of session and deployment;  the highest score takes the session

Each deployment's score depends on it and the session alone: one that goes moves only its own sessions, one that comes takes only its share.
Source: "New Hashing Algorithms for Data Storage", Jason Resch, SNIA 2015 (the weighted form of Thaler and Ravishankar, 1998).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

_BITS = 52
"""As many as a float below 1 tells apart."""


def home(session: str, deployments: Iterable[tuple[str, int]]) -> str:
    """The deployment that a session stays at, among these (id, weight from 1); "" where there is none."""
    return max(deployments, key=lambda one: (score(session, *one), one[0]), default=("", 0))[0]


def score(session: str, deployment: str, weight: int) -> float:
    """What a deployment bids for a session."""
    digest = hashlib.sha256(f"{deployment}\n{session}".encode(errors="surrogatepass")).digest()
    drawn = int.from_bytes(digest[:8]) >> (64 - _BITS)
    return -weight / math.log((drawn + 0.5) / 2**_BITS)
