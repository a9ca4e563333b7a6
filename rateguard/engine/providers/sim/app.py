"""The simulated provider as an ASGI application: each dialect's addresses, with real admission, latency, faults and a bill."""

from __future__ import annotations

import time

from rateguard.engine.providers.sim.answers import BLANK_LINES_BYTES
from rateguard.engine.providers.sim.call import Call, make_call
from rateguard.engine.providers.sim.config import BLANK_LINES, COMMENTS, MINUS_ONE_LIMITS, NO_LIMIT_HEADERS
from rateguard.engine.providers.sim.control_api import ControlApi
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.journal import BillLine
from rateguard.engine.providers.sim.prompt_cache import NOTHING, Cached
from rateguard.engine.providers.sim.state import Claim, SimState
from rateguard.engine.providers.sim.streaming import Stream
from rateguard.engine.providers.sim.voices.asked import Asked, Headers, Kind, Need, Place, Wrong
from rateguard.engine.providers.sim.voices.routes import find
from rateguard.engine.providers.sim.voices.voice import Refused, Voice
from rateguard.engine.providers.sim.wire import Exchange, Receive, Scope, Send
from rateguard.engine.providers.sim.words import make_vector
from rateguard.engine.tokens import count_input_async

_STARTED_S = int(time.time())


class SimApp:
    """Serves one SimState."""

    def __init__(self, state: SimState, control_token: str) -> None:
        self._state = state
        self._control = ControlApi(state, control_token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI request."""
        exchange = Exchange(scope, receive, send)
        if exchange.path.startswith("/_sim/"):
            await self._control.serve(exchange)
            return
        voice, place = find(exchange)
        exchange.identity, exchange.request_id = voice.identity, voice.request_id(exchange.number)
        try:
            if place is None:
                await exchange.reply(*voice.wrong(Wrong.ADDRESS, f"{exchange.method} {exchange.path}", exchange.request_id))
            elif place.kind is Kind.MODELS:
                await self._list(exchange, voice)
            else:
                await self._serve(exchange, voice, place)
        finally:
            self._state.ended(exchange)

    def _knows(self, exchange: Exchange) -> bool:
        return not self._state.config.keys or exchange.key in self._state.config.keys

    async def _list(self, exchange: Exchange, voice: Voice) -> None:
        """The models, to whoever has a key."""
        if not self._knows(exchange):
            await exchange.reply(*voice.wrong(Wrong.KEY, request_id=exchange.request_id))
            return
        names = set(self._state.config.models) | set(self._state.config.prices) - {"*"}
        headers, body = voice.models(sorted(names), _STARTED_S)
        await exchange.reply(200, headers, body)

    async def _serve(self, exchange: Exchange, voice: Voice, place: Place) -> None:
        raw = await exchange.read_body()
        models = self._state.config.models
        try:
            if place.kind is Kind.TOKEN:
                await exchange.reply(200, *voice.token(raw))
                return
            if not self._knows(exchange):
                raise Refused(voice.wrong(Wrong.KEY, request_id=exchange.request_id))  # noqa: TRY301 - all refusals are answered in one place
            asked = _understood(voice, place, exchange, raw)
            if models and asked.model not in models:
                raise Refused(voice.wrong(Wrong.MODEL, asked.model, exchange.request_id))  # noqa: TRY301 - likewise
        except Refused as refused:
            await exchange.reply(*refused.answer)
            return
        await self._admit(exchange, voice, asked, raw)

    async def _admit(self, exchange: Exchange, voice: Voice, asked: Asked, raw: bytes) -> None:
        """Count the request; refuse it by a fault or by a limit; or accept it."""
        state, model = self._state, asked.model
        input_tokens = await count_input_async(asked.countable, voice.counts_as or model)
        exchange.count()
        if asked.place.kind is Kind.COUNT:
            await exchange.reply(200, *voice.counted(asked, input_tokens))
            return
        cached = self._look(exchange, voice, asked, input_tokens)
        used = voice.input_used(asked, input_tokens, cached)
        most = voice.most_tokens(asked, state.config.output) if asked.place.kind is Kind.CHAT else 0
        need = voice.need(asked, used, most)
        fault = state.take_fault(exchange, model)
        if fault is not None and await self._refused_by_fault(exchange, voice, asked, fault, need):
            return
        claim = state.count(exchange, voice, model, need)
        limits = self._limit_headers(exchange, voice, model)
        if not isinstance(claim, Claim):
            status, headers, body = voice.limit_refusal(claim, asked, need.of(claim.rule.metric), exchange.counted_ms)
            await exchange.reply(status, [*headers, *limits], body)
            return
        state.cache.keep(cached, exchange.counted_ms)
        call = make_call(exchange, voice, asked, raw, used, limits, fault, state.config)
        await self._answer(call, claim)

    def _look(self, exchange: Exchange, voice: Voice, asked: Asked, input_tokens: int) -> Cached:
        """What the prompt cache knows of the request; a short one is not even looked at."""
        rule = self._state.config.cache
        if input_tokens < rule.least_tokens or asked.place.kind is not Kind.CHAT:
            return NOTHING
        whose, at_ms, prompt = f"{exchange.key}\n{asked.model}\n", exchange.counted_ms, voice.cacheable(asked)
        if isinstance(prompt, bytes):
            return self._state.cache.look(whose, prompt, input_tokens, rule, at_ms)
        return self._state.cache.look_marked(whose, prompt, input_tokens, rule, at_ms)

    def _limit_headers(self, exchange: Exchange, voice: Voice, model: str) -> Headers:
        headers = self._state.limit_headers(exchange, voice, model)
        quirks = self._state.config.quirks
        if NO_LIMIT_HEADERS in quirks:
            return []
        return [(name, b"-1") for name, _ in headers] if MINUS_ONE_LIMITS in quirks else headers

    async def _refused_by_fault(self, exchange: Exchange, voice: Voice, asked: Asked, fault: Fault, need: Need) -> bool:
        """Answer with the fault, where it is one that lets nothing in."""
        if fault.kind is FaultKind.RESET:
            self._state.log_refusal(exchange, voice, asked.model, need, 0)
            await exchange.reset()
            return True
        answer = voice.fault(fault, asked)
        if answer is None:
            return False
        self._state.log_refusal(exchange, voice, asked.model, need, answer[0])
        await exchange.reply(*answer)
        return True

    async def _answer(self, call: Call, claim: Claim) -> None:
        if call.words.asked.is_streamed:
            await self._stream(call, claim)
            return
        line = self._state.bill(call.exchange, call.words.model, call.words.used)
        await call.until(call.words.said.tokens)
        if claim.output:
            self._state.produce(claim, call.words.used.output)
        self._state.settle(call.exchange, claim, call.voice.settled_tokens(call.words.asked, call.words.used))
        if call.words.asked.place.kind is Kind.EMBEDDINGS:
            seed, size = self._state.config.seed, call.words.asked.dimensions or call.voice.dimensions
            headers, body = call.voice.embeddings(call.words, (make_vector(seed, text, size) for text in call.words.asked.texts))
        else:
            headers, body = call.voice.whole(call.words)
        await self._reply(call, line, headers, body)

    async def _reply(self, call: Call, line: BillLine, headers: Headers, body: bytes) -> None:
        line.aborted = call.exchange.is_gone
        if call.fault is FaultKind.MALFORMED:
            body = body[: len(body) // 2]
        if BLANK_LINES in self._state.config.quirks:
            body = BLANK_LINES_BYTES + body
        await call.exchange.reply(200, [*headers, *call.headers], body)

    async def _stream(self, call: Call, claim: Claim) -> None:
        """A chat in pieces: billed by what was produced when the caller left or the stream ended."""
        self._state.promise_bill(call.exchange, call.words.model, call.words.used)
        stream = Stream(self._state, call, claim, comments=COMMENTS in self._state.config.quirks)
        try:
            await stream.run()
        finally:
            used = call.used_so_far(stream.produced)
            self._state.settle(call.exchange, claim, call.voice.settled_tokens(call.words.asked, used))
            line = self._state.bill(call.exchange, call.words.model, used)
            line.aborted = stream.produced < call.words.said.tokens


def _understood(voice: Voice, place: Place, exchange: Exchange, raw: bytes) -> Asked:
    """What is asked for; a body whose parts are not of the types that they should be is refused like one that is no JSON."""
    try:
        return voice.parse(place, exchange, raw)
    except (AttributeError, TypeError, ValueError, KeyError):
        raise Refused(voice.wrong(Wrong.BODY, request_id=exchange.request_id)) from None
