"""The simulated provider as an ASGI application: OpenAI's endpoints, with real admission, latency, faults and a bill."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.providers.sim import answers
from rateguard.engine.providers.sim.answers import EVENTS, JSON, ChunkWriter
from rateguard.engine.providers.sim.control_api import ControlApi
from rateguard.engine.providers.sim.fault_replies import refusal
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.journal import BillLine
from rateguard.engine.providers.sim.state import MAX_TOKENS_FIELDS, SimState
from rateguard.engine.providers.sim.wire import Exchange, Receive, Scope, Send, now_ms
from rateguard.engine.providers.sim.words import Draw, make_vector, pick_words
from rateguard.engine.tokens import count_input_async

_CHAT = "/v1/chat/completions"
_EMBEDDINGS = "/v1/embeddings"
_MODELS = "/v1/models"
_STARTED_S = int(time.time())
_DIMENSIONS = 1_536


@dataclasses.dataclass(frozen=True, slots=True)
class _Call:
    """A request that was accepted, with everything that was drawn for it."""

    exchange: Exchange
    body: Mapping[str, Any]
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: str
    draw: Draw
    base_ms: float
    per_token_ms: float
    headers: answers.Headers
    fault: FaultKind | None
    fault_events: int
    wait_ms: int
    silence_ms: int


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
        elif exchange.method == "POST" and exchange.path in {_CHAT, _EMBEDDINGS}:
            try:
                await self._serve(exchange)
            finally:
                self._state.ended(exchange)
        elif exchange.method == "GET" and exchange.path == _MODELS:
            await self._list(exchange)
        else:
            await _refuse(exchange, 404, f"Invalid URL ({exchange.method} {exchange.path})", "invalid_request_error", None)

    async def _list(self, exchange: Exchange) -> None:
        """The models, to whoever has a key."""
        if not self._knows(exchange):
            await _refuse_key(exchange)
            return
        names = set(self._state.config.models) | set(self._state.config.prices) - {"*"}
        await exchange.reply(200, [JSON], answers.models(names, _STARTED_S))

    def _knows(self, exchange: Exchange) -> bool:
        return not self._state.config.keys or exchange.key in self._state.config.keys

    async def _serve(self, exchange: Exchange) -> None:
        raw = await exchange.read_body()
        body = _parse(raw)
        config = self._state.config
        if not self._knows(exchange):
            await _refuse_key(exchange)
        elif body is None:
            await _refuse(exchange, 400, "We could not parse the JSON body of your request.", "invalid_request_error", None)
        elif any(isinstance(body.get(name), int) and body[name] < 1 for name in MAX_TOKENS_FIELDS):
            await _refuse(exchange, 400, "max_tokens must be at least 1.", "invalid_request_error", "integer_below_min_value")
        elif config.models and body["model"] not in config.models:
            text = f"The model `{body['model']}` does not exist or you do not have access to it."
            await _refuse(exchange, 404, text, "invalid_request_error", "model_not_found")
        else:
            await self._admit(exchange, body, raw)

    async def _admit(self, exchange: Exchange, body: dict[str, Any], raw: bytes) -> None:
        """Count the request; refuse it by a fault or by a limit; or accept it."""
        model = body["model"]
        input_tokens = await count_input_async(body, model)
        max_tokens = self._state.max_tokens(body) if exchange.path == _CHAT else 0
        exchange.counted_ms = now_ms()
        fault = self._state.take_fault(exchange, model)
        if fault is not None and await self._refused_by_fault(exchange, model, fault, input_tokens + max_tokens):
            return
        full = self._state.count(exchange, model, input_tokens + max_tokens)
        limits = self._state.limit_headers(exchange, model)
        if full is not None:
            text, waits = answers.limit_refusal(full, model, exchange.counted_ms, input_tokens + max_tokens)
            await exchange.reply(429, [JSON, *waits, *limits], text)
            return
        call = self._draw(exchange, body, raw, input_tokens, max_tokens, limits, fault)
        if exchange.path == _EMBEDDINGS:
            await self._embed(call)
        elif body.get("stream"):
            await self._stream(call)
        else:
            await self._complete(call)

    async def _refused_by_fault(self, exchange: Exchange, model: str, fault: Fault, tokens: int) -> bool:
        """Answer with the fault, where it is one that lets nothing in."""
        if fault.kind is FaultKind.RESET:
            self._state.log_refusal(exchange, model, tokens, 0)
            await exchange.reset()
            return True
        answer = refusal(fault, model)
        if answer is None:
            return False
        self._state.log_refusal(exchange, model, tokens, answer[0])
        await exchange.reply(*answer)
        return True

    def _draw(
        self,
        exchange: Exchange,
        body: Mapping[str, Any],
        raw: bytes,
        input_tokens: int,
        max_tokens: int,
        headers: answers.Headers,
        fault: Fault | None,
    ) -> _Call:
        config, draw = self._state.config, Draw.of(self._state.config.seed, raw)
        least = max(1, round(max_tokens * config.output.least))
        most = max(least, round(max_tokens * config.output.most))
        output_tokens = least + int(draw.output * (most - least + 1)) if max_tokens else 0
        finish_reason = "length" if output_tokens >= max_tokens else "stop"
        kind = fault.kind if fault else None
        return _Call(
            exchange=exchange,
            body=body,
            model=body["model"],
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            finish_reason="content_filter" if kind is FaultKind.FINISH_CONTENT_FILTER else finish_reason,
            draw=draw,
            base_ms=config.latency.base_ms * _jitter(config.latency.jitter, draw.base),
            per_token_ms=config.latency.per_token_ms * _jitter(config.latency.jitter, draw.pace),
            headers=headers,
            fault=kind,
            fault_events=fault.events if fault else 0,
            wait_ms=fault.wait_ms if fault and kind is FaultKind.SLOW_HEADERS else 0,
            silence_ms=fault.wait_ms if fault and kind is FaultKind.SILENCE else 0,
        )

    async def _complete(self, call: _Call) -> None:
        """A chat in one piece: billed in full as soon as it is accepted."""
        line = self._state.bill(call.exchange, call.model, call.input_tokens, call.output_tokens)
        await _sleep_until(call, call.base_ms + call.per_token_ms * call.output_tokens)
        text = "".join(pick_words(call.draw.place, call.output_tokens))
        used = answers.usage(call.input_tokens, call.output_tokens)
        answer_id = f"chatcmpl-{call.exchange.number}"
        body = answers.chat_completion(answer_id, int(time.time()), call.model, text, call.finish_reason, used)
        await _answer(call, line, body)

    async def _embed(self, call: _Call) -> None:
        line = self._state.bill(call.exchange, call.model, call.input_tokens, 0)
        await _sleep_until(call, call.base_ms)
        dimensions = int(call.body.get("dimensions") or _DIMENSIONS)
        texts = _embedding_texts(call.body["input"])
        vectors = (make_vector(self._state.config.seed, text, dimensions) for text in texts)
        body = answers.embeddings(call.model, vectors, call.input_tokens, str(call.body.get("encoding_format") or "float"))
        await _answer(call, line, body)

    async def _stream(self, call: _Call) -> None:
        """A chat in pieces: billed by what was produced when the caller left or the stream ended."""
        produced = 0
        self._state.promise_bill(call.exchange, call.model, call.input_tokens, call.output_tokens)
        try:
            await _sleep_until(call, call.base_ms)
            await call.exchange.start(200, [EVENTS, (b"cache-control", b"no-cache"), *call.headers])
            async for tokens, event in self._events(call):
                if call.exchange.is_gone:
                    call.exchange.is_there = False
                    break
                await call.exchange.write(event)
                produced += tokens
            else:
                if call.fault is FaultKind.RESET_STREAM:
                    await call.exchange.reset()
                else:
                    await call.exchange.end()
        finally:
            line = self._state.bill(call.exchange, call.model, call.input_tokens, produced)
            line.aborted = produced < call.output_tokens

    async def _events(self, call: _Call) -> Any:
        """Yields (tokens in it, event), each when it is due; ends where a fault cuts it."""
        options = call.body.get("stream_options") or {}
        writer = ChunkWriter(
            f"chatcmpl-{call.exchange.number}",
            int(time.time()),
            call.model,
            with_usage=bool(options.get("include_usage")),
            obfuscate=options.get("include_obfuscation") is not False,
        )
        yield 0, writer.delta({"role": "assistant", "content": "", "refusal": None})
        words = pick_words(call.draw.place, call.output_tokens)
        size = self._state.config.output.chunk_tokens
        for number, start in enumerate(range(0, len(words), size)):
            if number == call.fault_events and call.fault in _BREAKS:
                if _BREAKS[call.fault]:
                    yield 0, _BREAKS[call.fault]
                return
            if number == call.fault_events:
                await asyncio.sleep(call.silence_ms / 1_000)
            piece = words[start : start + size]
            await _sleep_until(call, call.base_ms + call.per_token_ms * (start + len(piece)))
            yield len(piece), writer.delta({"content": "".join(piece)})
        yield 0, writer.delta({}, call.finish_reason)
        if options.get("include_usage"):
            yield 0, writer.usage(answers.usage(call.input_tokens, call.output_tokens))
        yield 0, answers.event(b"[DONE]")


# What a stream ends with where a fault breaks it, before its connection ends.
_BREAKS: dict[FaultKind | None, bytes] = {
    FaultKind.RESET_STREAM: b"",
    FaultKind.CUT_STREAM: b"",
    FaultKind.MALFORMED: answers.event(b'{"id":"chatcmpl-1","choices":[{"index":0,"del'),
    FaultKind.STREAM_ERROR: answers.event(answers.error("The server had an error while streaming.", "server_error", "server_error")),
}


async def _answer(call: _Call, line: BillLine, body: bytes) -> None:
    line.aborted = call.exchange.is_gone
    if call.fault is FaultKind.MALFORMED:
        body = body[: len(body) // 2]
    await call.exchange.reply(200, [JSON, *call.headers], body)


async def _sleep_until(call: _Call, after_ms: float) -> None:
    """Wait until so long after the request was counted; always let others run."""
    left_ms = call.exchange.counted_ms + call.wait_ms + after_ms - now_ms()
    await asyncio.sleep(max(0.0, left_ms / 1_000))


async def _refuse_key(exchange: Exchange) -> None:
    await _refuse(exchange, 401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")


async def _refuse(exchange: Exchange, status: int, message: str, kind: str, code: str | None) -> None:
    await exchange.reply(status, [JSON], answers.error(message, kind, code))


def _parse(raw: bytes) -> dict[str, Any] | None:
    """The body, if it is an object with a model and something to work on."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return None
    is_chat = isinstance(body.get("messages"), list) and all(isinstance(message, dict) for message in body["messages"])
    return body if is_chat or isinstance(body.get("input"), str | list) else None


def _embedding_texts(value: str | list[Any]) -> list[bytes]:
    """Each text of an embeddings input, as bytes that tell them apart; a token array is one text."""
    if isinstance(value, str) or (value and isinstance(value[0], int)):
        return [orjson.dumps(value)]
    return [orjson.dumps(item) for item in value]


def _jitter(share: float, drawn: float) -> float:
    return 1.0 + share * (2.0 * drawn - 1.0)
