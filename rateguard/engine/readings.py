"""What a provider says of its own limits beside an answer."""

from __future__ import annotations

import dataclasses
import enum


class Axis(enum.StrEnum):
    """What a provider's own limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What an answer's headers say of one of the provider's limits.

    window_ms: what `limit` is an amount per; 0: the provider does not say. remaining: what is left now; reset_ms: until it is full again.
    Each is None where it is not told. of_account: it binds the whole account, not the deployment alone.
    """

    axis: Axis
    window_ms: int
    limit: int | None = None
    remaining: int | None = None
    reset_ms: int | None = None
    of_account: bool = False
