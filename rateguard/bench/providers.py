"""`bench providers`: CPU of our process for a call and for a chunk of a stream, by adapter, beside the official SDK in the same run.

Both ask the same simulated provider, a process of its own whose CPU is not counted, one call after the other, on the worker's event loop.
A chunk's cost is what a long stream takes more than a short one. Laps of ours and of the SDK's take turns; each figure is the median.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import statistics
import time
from collections.abc import Callable

import orjson

from rateguard.bench import official
from rateguard.bench.official import Call
from rateguard.bench.report import Figures, Report, versions
from rateguard.engine.providers.base import Chunk, Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.engine.providers.sim.process import start_simprovider
from rateguard.holding.loop import new_event_loop

LONG, SHORT = 200, 8
"""Tokens of a stream, one a chunk."""
AIM = 0.25


@dataclasses.dataclass(frozen=True)
class Pair:
    """An adapter and the official client of its provider. path: what the account's base URL ends with."""

    name: str
    model: str
    sdk: Callable[[str], Call]
    path: str = ""
    key: str = official.KEY
    region: str = ""


PAIRS = (
    Pair("openai", "gpt-4o-mini", official.openai_sdk, "/v1"),
    Pair("anthropic", "claude-haiku-4-5", official.anthropic_sdk),
    Pair(
        "bedrock",
        "anthropic.claude-haiku-4-5-v1:0",
        official.bedrock_sdk,
        key=orjson.dumps(official.AWS_KEYS).decode(),
        region=official.REGION,
    ),
    Pair("gemini", "gemini-3.8-flash", official.gemini_sdk),
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """CPU, µs."""

    call: float
    chunk: float


def run(*, is_quick: bool) -> Report:
    """Measure all adapters. The SDKs' own log lines are off: nobody would pay for them."""
    for logger in ("httpx", "httpx2", "google_genai", "botocore"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    sim = start_simprovider(output={"least": 1.0, "most": 1.0, "chunk_tokens": 1})
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            found = {pair.name: runner.run(_measure(pair, sim.url, is_quick=is_quick)) for pair in PAIRS}
    finally:
        sim.stop()
    rows = [
        (name, ours.call, theirs.call, ours.call / theirs.call, ours.chunk, theirs.chunk, ours.chunk / theirs.chunk)
        for name, (ours, theirs) in found.items()
    ]
    columns = ("provider", "call µs", "SDK's µs", "ratio", "chunk µs", "SDK's µs", "ratio")
    shown = [(name, ours, sdk, f"{ratio:.2f}", chunk, sdk_chunk, f"{more:.2f}") for name, ours, sdk, ratio, chunk, sdk_chunk, more in rows]
    metrics: dict[str, float] = {}
    for name, ours, sdk, ratio, chunk, sdk_chunk, chunk_ratio in rows:
        figures = {"call_us": ours, "sdk_call_us": sdk, "call_ratio": ratio, "chunk_us": chunk, "sdk_chunk_us": sdk_chunk}
        metrics |= {f"{name}_{key}": round(value, 3) for key, value in {**figures, "chunk_ratio": chunk_ratio}.items()}
    title = f"CPU of our process (aim: at most {AIM:g} of the official SDK's)"
    return Report("providers", metrics, versions(), [Figures(title, columns, shown)])


async def _measure(pair: Pair, url: str, *, is_quick: bool) -> tuple[Cost, Cost]:
    """Ours and the SDK's, in turns."""
    laps, calls, streams = (3, 20, 3) if is_quick else (9, 100, 10)
    async with HttpClient() as http:
        callers = (_ours(pair, url, http), pair.sdk(url))
        seen: tuple[list[Cost], list[Cost]] = ([], [])
        for lap in range(laps + 1):
            for caller, costs in zip(callers, seen, strict=True):
                cost = await _lap(caller, calls, streams)
                if lap:  # the first one imports, connects and compiles
                    costs.append(cost)
    ours, theirs = (Cost(statistics.median(one.call for one in costs), statistics.median(one.chunk for one in costs)) for costs in seen)
    return ours, theirs


async def _lap(call: Call, calls: int, streams: int) -> Cost:
    each_us, _ = await _cpu(call, calls, SHORT, is_streamed=False)
    short_us, few = await _cpu(call, streams, SHORT, is_streamed=True)
    long_us, many = await _cpu(call, streams, LONG, is_streamed=True)
    return Cost(each_us, (long_us - short_us) / (many - few))


async def _cpu(call: Call, times: int, max_tokens: int, *, is_streamed: bool) -> tuple[float, float]:
    """CPU µs a call, and pieces a call."""
    began_s, pieces = time.process_time(), 0
    for _ in range(times):
        pieces += await call(max_tokens, is_streamed)
    return (time.process_time() - began_s) / times * 1e6, pieces / times


def _ours(pair: Pair, url: str, http: HttpClient) -> Call:
    """The adapter, as a worker uses it."""
    provider = ProviderRegistry(http).get(pair.name)
    target = Target(pair.name, url + pair.path, pair.key, pair.model, pair.region)

    async def call(max_tokens: int, is_streamed: bool) -> int:
        body = {"model": "m", "messages": [{"role": "user", "content": official.PROMPT}], "max_tokens": max_tokens}
        request, count = Request(Endpoint.CHAT, body, "bench-1"), 0

        async def take(_: Chunk) -> None:
            nonlocal count
            count += 1

        if not is_streamed:
            await provider.call(target, request)
            return 1
        await provider.stream(target, request, take)
        return count

    return call
