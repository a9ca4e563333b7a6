"""A chat in pieces, each when it is due: what was produced is what is billed."""

from __future__ import annotations

import asyncio

from rateguard.engine.providers.sim.answers import COMMENT
from rateguard.engine.providers.sim.call import Call
from rateguard.engine.providers.sim.faults import FaultKind
from rateguard.engine.providers.sim.state import Claim, SimState

_BREAKING = frozenset({FaultKind.RESET_STREAM, FaultKind.CUT_STREAM, FaultKind.MALFORMED, FaultKind.STREAM_ERROR})


class Stream:
    """One streamed answer. produced: tokens that went out so far; is_cut: a fault ended it."""

    def __init__(self, state: SimState, call: Call, claim: Claim, *, comments: bool) -> None:
        self._state = state
        self._call = call
        self._claim = claim
        self._comments = comments
        self.produced = 0
        self.is_cut = False

    async def run(self) -> None:
        """Send it, until it is over, its caller leaves or a fault ends it."""
        call, exchange = self._call, self._call.exchange
        await call.until(0)
        await exchange.start(200, [*call.voice.stream_headers(call.words), *call.headers])
        if self._comments:
            await exchange.write(COMMENT)
        number = 0
        for tokens, event in call.voice.events(call.words):
            if tokens:
                if call.fault is not None and number == call.fault_events and await self._meets_fault():
                    break
                number += 1
                await call.until(self.produced + tokens)
            if exchange.is_gone:
                exchange.is_there = False
                return
            if event:
                await exchange.write(event)
            if tokens:
                self.produced += tokens
                if self._claim.output:
                    self._state.produce(self._claim, tokens)
        await self._end()

    async def _meets_fault(self) -> bool:
        """Whether a fault ends the stream in front of this piece; a silence goes by."""
        self.is_cut = self._call.fault in _BREAKING
        if not self.is_cut:
            await asyncio.sleep(self._call.silence_ms / 1_000)
        return self.is_cut

    async def _end(self) -> None:
        call = self._call
        if call.fault is FaultKind.RESET_STREAM:
            await call.exchange.reset()
            return
        if self.is_cut and call.fault is not None and (last := call.voice.broken(call.fault, call.words.asked)):
            await call.exchange.write(last)
        await call.exchange.end()
