"""Money in integers: prices in pico-dollars a token, costs in nano-dollars, rounded once, half up.

One pico-dollar a token is one micro-dollar per million tokens, so every list price is exact.
"""

from __future__ import annotations

import dataclasses

NANO = 1_000_000_000
PICO_PER_NANO = 1_000
MAX_BUDGET_NANO_USD = 9_000_000 * NANO
"""The largest budget, in nano-dollars: Lua counts in doubles, exact to 2**53."""


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """What a provider says a call used, in tokens.

    input_tokens (neither read from the cache nor written into it), cached_tokens (read from it), cache_write_tokens and output_tokens never
    overlap. Parts of them that have prices of their own or are shown: audio_input_tokens of input_tokens; cache_write_long_tokens of
    cache_write_tokens (kept for an hour or longer); audio_output_tokens and reasoning_tokens of output_tokens.

    tier: the service tier that was really used: "" (standard), "priority", "flex" or "batch". terms: what else changes the whole price, in
    the words of the price list: "us" (processed in one region), "fast". searches: calls of a hosted web search, billed by the call.
    estimated: a count of our own (a cut stream, a dead worker).
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cache_write_long_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    tier: str = ""
    terms: tuple[str, ...] = ()
    searches: int = 0

    @property
    def all_input_tokens(self) -> int:
        """Input read in any way: uncached, from the cache, into the cache."""
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """List prices of one model, in pico-dollars a token (= micro-dollars per million tokens)."""

    input_pico: int = 0
    cached_input_pico: int = 0
    cache_write_pico: int = 0
    output_pico: int = 0

    @property
    def dearest_input_pico(self) -> int:
        """The most that one input token can cost."""
        return max(self.input_pico, self.cached_input_pico, self.cache_write_pico)


def cost_nano_usd(price: Price, usage: Usage) -> int:
    """The cost of a usage in nano-dollars, rounded once, half up.

    >>> cost_nano_usd(Price(input_pico=150_000, output_pico=600_000), Usage(input_tokens=1, output_tokens=1))
    750
    """
    pico = (
        usage.input_tokens * price.input_pico
        + usage.cached_tokens * price.cached_input_pico
        + usage.cache_write_tokens * price.cache_write_pico
        + usage.output_tokens * price.output_pico
    )
    return (2 * pico + PICO_PER_NANO) // (2 * PICO_PER_NANO)


def most_nano_usd(price: Price, input_tokens: int, max_output_tokens: int) -> int:
    """The most that an attempt can cost, in nano-dollars, rounded up: what a budget reserves."""
    pico = input_tokens * price.dearest_input_pico + max_output_tokens * price.output_pico
    return -(-pico // PICO_PER_NANO)


def format_usd(nano_usd: int) -> str:
    """Nano-dollars as people read them: cents always, more digits only where they are not zero.

    >>> format_usd(1_500_000_000), format_usd(750), format_usd(-12_000_000)
    ('$1.50', '$0.00000075', '-$0.012')
    """
    sign = "-" if nano_usd < 0 else ""
    whole, rest = divmod(abs(nano_usd), NANO)
    digits = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{digits}"
