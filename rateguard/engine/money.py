"""Money in integers: prices in pico-dollars a token, costs in nano-dollars, rounded once, half up.

One pico-dollar a token is one micro-dollar per million tokens, so every list price is exact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

NANO = 1_000_000_000
PICO_PER_NANO = 1_000
WHOLE_PERMILLE = 1_000
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
class Rates:
    """What tokens of each kind cost, in pico-dollars a token. None: what the kind costs that it is a part of."""

    input_pico: int = 0
    cached_input_pico: int = 0
    cache_write_pico: int = 0
    output_pico: int = 0
    cache_write_long_pico: int | None = None
    audio_input_pico: int | None = None
    audio_output_pico: int | None = None

    @property
    def dearest_input_pico(self) -> int:
        """The most that one input token can cost."""
        return max(
            self.input_pico, self.cached_input_pico, self.cache_write_pico, self.cache_write_long_pico or 0, self.audio_input_pico or 0
        )

    @property
    def dearest_output_pico(self) -> int:
        """The most that one output token can cost."""
        return max(self.output_pico, self.audio_output_pico or 0)

    def pico_of(self, usage: Usage) -> int:
        """What these tokens cost. Of a part that is said to be more than its whole, the whole counts."""
        pico = (
            usage.input_tokens * self.input_pico
            + usage.cached_tokens * self.cached_input_pico
            + usage.cache_write_tokens * self.cache_write_pico
            + usage.output_tokens * self.output_pico
        )
        if self.cache_write_long_pico is not None and usage.cache_write_long_tokens:
            part = min(usage.cache_write_long_tokens, usage.cache_write_tokens)
            pico += part * (self.cache_write_long_pico - self.cache_write_pico)
        if self.audio_input_pico is not None and usage.audio_input_tokens:
            pico += min(usage.audio_input_tokens, usage.input_tokens) * (self.audio_input_pico - self.input_pico)
        if self.audio_output_pico is not None and usage.audio_output_tokens:
            pico += min(usage.audio_output_tokens, usage.output_tokens) * (self.audio_output_pico - self.output_pico)
        return pico


@dataclasses.dataclass(frozen=True, slots=True)
class Tiered(Rates):
    """Rates of the standard tier, and of the tiers that have their own, by name; any other tier costs what the standard one does."""

    tiers: tuple[tuple[str, Rates], ...] = ()

    def at(self, tier: str) -> Rates:
        """The rates of a tier."""
        return next((rates for name, rates in self.tiers if name == tier), self) if tier else self


@dataclasses.dataclass(frozen=True, slots=True)
class LongContext(Tiered):
    """What ALL tokens of a request cost that has more input than `above_input_tokens`, however it was read."""

    above_input_tokens: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Price(Tiered):
    """List prices of one model, in pico-dollars a token (= micro-dollars per million tokens).

    long_contexts: the longest first. terms: permille of the price of all tokens, by the word in which a usage says them. search_nano_usd:
    one call of a hosted web search, which no term changes.
    """

    long_contexts: tuple[LongContext, ...] = ()
    terms: tuple[tuple[str, int], ...] = ()
    search_nano_usd: int = 0

    def for_input(self, input_tokens: int) -> Tiered:
        """The rates of a request with so much input."""
        return next((one for one in self.long_contexts if input_tokens > one.above_input_tokens), self)

    def permille_of(self, term: str) -> int:
        """What a term makes of the price; 1000 where the list does not know it."""
        return next((permille for name, permille in self.terms if name == term), WHOLE_PERMILLE)

    def dearest_at(self, words: Iterable[str], input_tokens: int) -> tuple[int, int]:
        """The most that one token of input, and of output, of such a request can cost, in pico-dollars, rounded up.

        words: a tier and terms that are asked for. What is asked for may be answered at another tier: all that are dearer are thought of,
        but PRIORITY is used only where it is asked for.
        """
        asked = set(words)
        tables: list[Tiered] = [self, *(one for one in self.long_contexts if input_tokens > one.above_input_tokens)]
        known = [rates for table in tables for rates in _reachable(table, asked)]
        pair = max(one.dearest_input_pico for one in known), max(one.dearest_output_pico for one in known)
        for term in asked:
            permille = max(WHOLE_PERMILLE, self.permille_of(term))
            pair = -(-pair[0] * permille // WHOLE_PERMILLE), -(-pair[1] * permille // WHOLE_PERMILLE)
        return pair


PRIORITY = "priority"


def _reachable(table: Tiered, asked: set[str]) -> Iterator[Rates]:
    yield table
    yield from (rates for name, rates in table.tiers if name != PRIORITY or name in asked)


def cost_nano_usd(price: Price, usage: Usage) -> int:
    """The cost of a usage in nano-dollars, rounded once, half up.

    >>> cost_nano_usd(Price(input_pico=150_000, output_pico=600_000), Usage(input_tokens=1, output_tokens=1))
    750
    >>> half = Rates(1_000_000, output_pico=5_000_000)
    >>> price = Price(2_000_000, output_pico=10_000_000, tiers=(("batch", half),), terms=(("us", 1_100),))
    >>> cost_nano_usd(price, Usage(input_tokens=100, output_tokens=10, tier="batch", terms=("us",)))
    165000
    """
    table = price.for_input(usage.all_input_tokens) if price.long_contexts else price
    numerator, denominator = table.at(usage.tier).pico_of(usage), PICO_PER_NANO
    for term in usage.terms:
        numerator, denominator = numerator * price.permille_of(term), denominator * WHOLE_PERMILLE
    return (2 * numerator + denominator) // (2 * denominator) + usage.searches * price.search_nano_usd


def most_nano_usd(
    price: Price, input_tokens: int, max_output_tokens: int, tier: str = "", *, terms: Iterable[str] = (), searches: int = 0
) -> int:
    """The most that an attempt can cost, in nano-dollars, rounded up: what a budget reserves.

    tier, terms: what the request asks for; searches: the most calls of a hosted search. No usage within these costs more.

    >>> long = LongContext(4_000_000, output_pico=15_000_000, above_input_tokens=272_000)
    >>> price = Price(2_000_000, output_pico=10_000_000, cache_write_pico=2_500_000, long_contexts=(long,))
    >>> most_nano_usd(price, 272_000, 10), most_nano_usd(price, 272_001, 10)
    (680100000, 1088154000)
    """
    input_pico, output_pico = price.dearest_at((tier, *terms), input_tokens)
    pico = input_tokens * input_pico + max_output_tokens * output_pico
    return -(-pico // PICO_PER_NANO) + searches * price.search_nano_usd


def format_usd(nano_usd: int) -> str:
    """Nano-dollars as people read them: cents always, more digits only where they are not zero.

    >>> format_usd(1_500_000_000), format_usd(750), format_usd(-12_000_000)
    ('$1.50', '$0.00000075', '-$0.012')
    """
    sign = "-" if nano_usd < 0 else ""
    whole, rest = divmod(abs(nano_usd), NANO)
    digits = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{digits}"
