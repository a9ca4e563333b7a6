"""The bodies and headers that the simulated provider sends. Source: OpenAI's OpenAPI specification and recorded replies."""

from __future__ import annotations

import array
import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from rateguard.engine.providers.sim.windows import Window

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
HTML = (b"content-type", b"text/html")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")

_OBFUSCATION = "kX3vQ9bL2mZ7wR5t"
_ABBREVIATIONS = {"requests": "RPM", "tokens": "TPM"}


def usage(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """The usage of a chat."""
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat_completion(answer_id: str, created: int, model: str, text: str, finish_reason: str, used: Mapping[str, Any]) -> bytes:
    """A whole chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    return orjson.dumps(
        {
            "id": answer_id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [choice],
            "usage": used,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        },
    )


def embeddings(model: str, vectors: Iterable[Sequence[float]], input_tokens: int, encoding_format: str) -> bytes:
    """An embeddings answer; `base64` packs each vector as little-endian float32."""
    data = [
        {"object": "embedding", "index": index, "embedding": _embedding(vector, encoding_format)} for index, vector in enumerate(vectors)
    ]
    used = {"prompt_tokens": input_tokens, "total_tokens": input_tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": used})


def _embedding(vector: Sequence[float], encoding_format: str) -> str | Sequence[float]:
    if encoding_format != "base64":
        return vector
    packed = array.array("f", vector)
    return base64.b64encode(packed.tobytes()).decode()


def models(names: Iterable[str], created: int) -> bytes:
    """The list of models."""
    data = [{"id": name, "object": "model", "created": created, "owned_by": "sim"} for name in sorted(names)]
    return orjson.dumps({"object": "list", "data": data})


class ChunkWriter:
    """Writes a stream's events; all chunks share id, created and model. `usage` is null in all but the last, where it was asked for."""

    def __init__(self, answer_id: str, created: int, model: str, *, with_usage: bool, obfuscate: bool) -> None:
        self._head = {
            "id": answer_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        }
        self._null_usage = {"usage": None} if with_usage else {}
        self._obfuscate = obfuscate

    def delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        """A chunk with one choice."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._head, "choices": [choice], **self._null_usage}
        if self._obfuscate:
            chunk["obfuscation"] = _OBFUSCATION[len(str(delta)) % 16 :]
        return event(orjson.dumps(chunk))

    def usage(self, used: Mapping[str, Any]) -> bytes:
        """The last chunk, without a choice."""
        return event(orjson.dumps({**self._head, "choices": [], "usage": used}))


def event(data: bytes) -> bytes:
    """One server-sent event."""
    return b"data: " + data + b"\n\n"


def error(message: str, kind: str, code: str | None, param: str | None = None) -> bytes:
    """An error's body; all four keys are always there."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def go_duration(milliseconds: float) -> str:
    """As OpenAI's reset headers write it.

    >>> go_duration(120), go_duration(59_996), go_duration(360_000), go_duration(3_723_000)
    ('120ms', '59.996s', '6m0s', '1h2m3s')
    """
    whole = max(0, math.ceil(milliseconds))
    if whole < 1_000:
        return f"{whole}ms"
    minutes, rest = divmod(whole, 60_000)
    seconds = f"{rest / 1_000:g}s"
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{seconds}"


def limit_headers(windows: Iterable[Window], now_ms: float) -> Headers:
    """x-ratelimit-* for the first limit on each metric."""
    headers: Headers = []
    told: set[str] = set()
    for window in windows:
        metric = window.rule.metric
        if metric in told:
            continue
        told.add(metric)
        left = max(0, window.rule.amount - window.used(now_ms))
        headers += [
            (f"x-ratelimit-limit-{metric}".encode(), str(window.rule.amount).encode()),
            (f"x-ratelimit-remaining-{metric}".encode(), str(left).encode()),
            (f"x-ratelimit-reset-{metric}".encode(), go_duration(window.full_in_ms(now_ms)).encode()),
        ]
    return headers


def limit_refusal(window: Window, model: str, now_ms: float, tokens: int) -> tuple[bytes, Headers]:
    """The body and the headers of a real 429; a limit of the whole account names no model."""
    rule, used, need = window.rule, window.used(now_ms), window.need(tokens)
    wait_ms = window.wait_ms(now_ms, tokens)
    whose = f"for {model} in" if rule.model else "in"
    what = f"{rule.metric} per {rule.window_ms / 1000:g}s ({_ABBREVIATIONS[rule.metric]})"
    if wait_ms is None:
        text = f"Request too large {whose} organization org-sim on {what}: Limit {rule.amount}, Requested {need}."
        return error(text, rule.metric, "rate_limit_exceeded"), []
    text = (
        f"Rate limit reached {whose} organization org-sim on {what}: Limit {rule.amount}, Used {used}, Requested {need}. "
        f"Please try again in {go_duration(wait_ms)}."
    )
    waits = [
        (b"retry-after", str(max(1, math.ceil(wait_ms / 1000))).encode()),
        (b"retry-after-ms", str(max(1, math.ceil(wait_ms))).encode()),
    ]
    return error(text, rule.metric, "rate_limit_exceeded"), waits
