"""How a model's work finds its deployment, as values: its strategy, weights, overflow, fallbacks. Read once with the directory."""

from __future__ import annotations

import dataclasses

from rateguard.engine.errors import ErrorKind
from rateguard.engine.routing.contract import Strategy

ANY = "any"
"""A fallback for every kind of error that another model may heal."""
_HEALED = (
    ErrorKind.CONTEXT_TOO_LONG,
    ErrorKind.CONTENT_FILTER,
    ErrorKind.BAD_REQUEST,
    ErrorKind.QUOTA_EXHAUSTED,
    ErrorKind.RATE_LIMITED,
    ErrorKind.AUTH,
    ErrorKind.NOT_FOUND,
    ErrorKind.SERVER,
    ErrorKind.OVERLOADED,
    ErrorKind.TIMEOUT,
    ErrorKind.NETWORK,
    ErrorKind.CONNECT,
)
FALLBACK_KINDS = (*(one.value for one in _HEALED), ANY)
"""After what another model may be asked."""
USUAL_FALLBACKS = 2
"""A job goes to so many other models at most, where its model says nothing else."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fallback:
    """Where a job of a model goes after an error. on: the value of an ErrorKind, or `any`; to: another model's public name."""

    on: str
    to: str


@dataclasses.dataclass(frozen=True, slots=True)
class Routing:
    """How a model's work finds its deployment.

    regions: those that are preferred, the best first. weights, after_ms: by deployment id; after_ms: it takes only work that has waited
    for so long. fallbacks: in the order in which they are tried. is_sticky: who names a session stays at one deployment. hedges: the
    critical lane is hedged.
    """

    strategy: Strategy = Strategy.ORDERED
    regions: tuple[str, ...] = ()
    weights: dict[int, int] = dataclasses.field(default_factory=dict)
    after_ms: dict[int, int] = dataclasses.field(default_factory=dict)
    fallbacks: tuple[Fallback, ...] = ()
    max_fallbacks: int = USUAL_FALLBACKS
    is_sticky: bool = False
    hedges: bool = False

    def fallbacks_on(self, kind: str) -> tuple[str, ...]:
        """The models to try after an error of this kind, the first one first: those of the kind, then those of any."""
        found = [one.to for of in (kind, ANY) for one in self.fallbacks if one.on == of]
        return tuple(dict.fromkeys(found))


PLAIN = Routing()
"""A model that says nothing: in the order of its deployments, and nowhere else."""
