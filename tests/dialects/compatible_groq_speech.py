"""Groq's: usage in `x_groq` of the last piece, reasoning under another name, limits of which one is per day. Source: its SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.registry import class_of
from tests.dialects.openai_speech import OpenAISpeech, _chunk, usage_of
from tests.dialects.speech import Said, Wrong


def respell(body: bytes, old: str, new: str) -> bytes:
    """The same, with another name of a field."""
    return body.replace(f'"{old}":'.encode(), f'"{new}":'.encode())


class GroqSpeech(OpenAISpeech):
    """Groq."""

    provider = class_of("groq")
    target = Target("groq", "https://api.groq.com/openai/v1", "gsk_secret0123456789", "openai/gpt-oss-120b")

    def whole(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """Times beside the tokens."""
        headers, body = super().whole(said)
        answer = orjson.loads(respell(body, "reasoning_content", "reasoning"))
        answer["usage"] |= {"queue_time": 0.01, "prompt_time": 0.002, "completion_time": 0.1, "total_time": 0.102}
        return headers, orjson.dumps({**answer, "x_groq": {"id": "req_1"}})

    def stream(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """The last piece has the usage, within `x_groq`."""
        headers, body = super().stream(said)
        events = respell(body, "reasoning_content", "reasoning").split(b"\n\n")
        last: dict[str, Any] = {**_chunk({}, said.finish), "x_groq": {"id": "req_1", "usage": usage_of(said.usage)}}
        return headers, b"\n\n".join([*events[:-4], b"data: " + orjson.dumps(last), b"data: [DONE]", b""])

    def errors(self) -> Mapping[str, Wrong]:
        """Those that mean something of their own here."""
        limit = b'{"error":{"message":"Rate limit reached. Please try again in 5.289s.","type":"tokens","code":"rate_limit_exceeded"}}'
        return {
            **super().errors(),
            "float": Wrong(429, limit, ErrorKind.RATE_LIMITED, {"retry-after": "7.66"}, 7_660, cools="deployment"),
            "in_the_body": Wrong(429, limit, ErrorKind.RATE_LIMITED, retry_after_ms=5_289),
            "flex": Wrong(498, b'{"error":{"message":"no flex capacity"}}', ErrorKind.RATE_LIMITED, cools="deployment"),
            "too_large_for_the_minute": Wrong(413, b'{"error":{"message":"Request too large"}}', ErrorKind.CONTEXT_TOO_LONG),
        }

    def errors_in_stream(self) -> Mapping[str, tuple[bytes, ErrorKind]]:
        """A text within `x_groq` of an ordinary piece."""
        stopped = b"data: " + orjson.dumps({**_chunk({}, None), "x_groq": {"error": "over capacity"}}) + b"\n\n"
        return {**super().errors_in_stream(), "x_groq": (stopped, ErrorKind.SERVER)}


SPEECH = GroqSpeech()
