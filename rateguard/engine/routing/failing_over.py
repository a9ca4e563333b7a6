"""Failing over: what a failed try says of where the next one goes. Pure functions on marks.

The deployment that failed is asked last from here on, so that a retry begins at another one. Of several, at most MOST_SPARED are spared,
and never all: where none would be left in front, or more would be spared, only the newest failure counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from rateguard.engine.errors import ErrorKind
from rateguard.engine.routing.marks import Marks

MOST_SPARED = 3

SPEAKS_AGAINST = frozenset(
    {
        ErrorKind.CONNECT,
        ErrorKind.NETWORK,
        ErrorKind.TIMEOUT,
        ErrorKind.SERVER,
        ErrorKind.OVERLOADED,
        ErrorKind.CONFLICT,
        ErrorKind.AUTH,
        ErrorKind.QUOTA_EXHAUSTED,
    }
)
"""What another deployment may do better. A passing limit cools by itself, and what is wrong with the request is wrong everywhere."""


def able(marks: Marks, deployments: Collection[str]) -> list[str]:
    """Those of a model's deployments that may be asked, in their order."""
    return [one for one in deployments if one not in marks.never]


def spared(marks: Marks, deployments: Collection[str], failed: str) -> Marks:
    """The marks after a failure at `failed`; unchanged where there is no other deployment."""
    others = set(able(marks, deployments)) - {failed}
    if not others:
        return marks
    last = (marks.last & others) | {failed}
    if others <= last or len(last) > MOST_SPARED:
        last = frozenset({failed})
    return dataclasses.replace(marks, first="" if marks.first == failed else marks.first, last=last)


def closed(marks: Marks, deployments: Collection[str], failed: str) -> Marks | None:
    """The marks where `failed` can never do it; None: there is no other deployment."""
    if not set(able(marks, deployments)) - {failed}:
        return None
    first = "" if marks.first == failed else marks.first
    return Marks(marks.never | {failed}, first, marks.last - {failed})
