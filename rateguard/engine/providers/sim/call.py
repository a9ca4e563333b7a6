"""A request that was accepted, with everything that was drawn for it."""

from __future__ import annotations

import asyncio
import dataclasses
import time

from rateguard.engine.providers.sim.config import SimConfig
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.said import say
from rateguard.engine.providers.sim.voices.asked import Asked, Headers, Kind, Said, Used, Words
from rateguard.engine.providers.sim.voices.voice import Voice
from rateguard.engine.providers.sim.wire import Exchange, now_ms
from rateguard.engine.providers.sim.words import Draw

_SILENT = Said()


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One accepted request. Times are in milliseconds after the request was counted."""

    exchange: Exchange
    voice: Voice
    words: Words
    base_ms: float
    per_token_ms: float
    headers: Headers
    fault: FaultKind | None
    fault_events: int
    wait_ms: int
    silence_ms: int

    async def until(self, tokens: int) -> None:
        """Wait until so many tokens are there; always let others run."""
        left_ms = self.exchange.counted_ms + self.wait_ms + self.base_ms + self.per_token_ms * tokens - now_ms()
        await asyncio.sleep(max(0.0, left_ms / 1_000))

    def used_so_far(self, produced: int) -> Used:
        """What is billed where a stream ended after so many tokens."""
        used = self.words.used
        if produced == used.output:
            return used
        return dataclasses.replace(used, output=produced, reasoning=min(used.reasoning, produced))


def make_call(
    exchange: Exchange, voice: Voice, asked: Asked, raw: bytes, used: Used, headers: Headers, fault: Fault | None, config: SimConfig
) -> Call:
    """Draw what is said, and how long it takes. used: of the input; here the output comes to it."""
    draw = Draw.of(config.seed, raw)
    kind = fault.kind if fault else None
    said = say(asked, draw, config.output, kind) if asked.place.kind is Kind.CHAT else _SILENT
    base_ms = config.latency.base_ms * _jitter(config.latency.jitter, draw.base)
    per_token_ms = config.latency.per_token_ms * _jitter(config.latency.jitter, draw.pace)
    words = Words(
        asked=asked,
        said=said,
        used=Used(used.input, said.tokens, used.cached, used.written, used.written_long, reasoning=len(said.reasoning), tier=asked.tier),
        answer=exchange.number,
        created=int(time.time()),
        took_ms=round(base_ms + per_token_ms * said.tokens),
        chunk=config.output.chunk_tokens,
        ping=config.output.ping_every,
    )
    return Call(
        exchange=exchange,
        voice=voice,
        words=words,
        base_ms=base_ms,
        per_token_ms=per_token_ms,
        headers=headers,
        fault=kind,
        fault_events=fault.events if fault else 0,
        wait_ms=fault.wait_ms if fault and kind is FaultKind.SLOW_HEADERS else 0,
        silence_ms=fault.wait_ms if fault and kind is FaultKind.SILENCE else 0,
    )


def _jitter(share: float, drawn: float) -> float:
    return 1.0 + share * (2.0 * drawn - 1.0)
