"""Mistral's: content in parts where a model reasons, usage in the last piece with a choice, words of its own. Source: its SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.registry import class_of
from tests.dialects.openai_speech import OpenAISpeech
from tests.dialects.speech import Said, Wrong


def in_parts(message: dict[str, Any]) -> None:
    """Reasoning as a part of the content."""
    thought = message.pop("reasoning_content", None)
    if thought:
        parts: list[dict[str, Any]] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}]
        message["content"] = [*parts, {"type": "text", "text": message["content"]}] if message.get("content") else parts


class MistralSpeech(OpenAISpeech):
    """Mistral."""

    provider = class_of("mistral")
    target = Target("mistral", "https://api.mistral.ai/v1", "secret0123456789abcdef", "mistral-large-4")

    def whole(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """Content in parts; `model_length` for `length`."""
        headers, body = super().whole(said)
        answer = orjson.loads(body)
        in_parts(answer["choices"][0]["message"])
        answer["choices"][0]["finish_reason"] = _own(said.finish)
        return headers, orjson.dumps(answer)

    def stream(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """The usage stands in the last piece with a choice."""
        headers, body = super().stream(said)
        *chunks, _done, _end = [event.removeprefix(b"data: ") for event in body.split(b"\n\n")]
        pieces = [orjson.loads(chunk) for chunk in chunks]
        usage = pieces.pop()["usage"]
        for piece in pieces:
            in_parts(piece["choices"][0]["delta"])
        pieces[-1]["usage"] = usage
        pieces[-1]["choices"][0]["finish_reason"] = _own(said.finish)
        return headers, b"".join(b"data: " + orjson.dumps(piece) + b"\n\n" for piece in pieces) + b"data: [DONE]\n\n"

    def errors(self) -> Mapping[str, Wrong]:
        """Its two shapes."""
        return {
            **super().errors(),
            "flat": Wrong(
                429,
                b'{"object":"error","message":"Service tier capacity exceeded","type":"x","code":"3505"}',
                ErrorKind.RATE_LIMITED,
            ),
            "list": Wrong(422, b'{"detail":[{"loc":["body","n"],"msg":"extra inputs","type":"extra_forbidden"}]}', ErrorKind.BAD_REQUEST),
        }

    def errors_in_stream(self) -> Mapping[str, tuple[bytes, ErrorKind]]:
        """An answer that broke off says so in its stop word."""
        broken = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}\n\n'
        return {**super().errors_in_stream(), "broken": (broken, ErrorKind.SERVER)}


def _own(finish: str) -> str:
    return "model_length" if finish == "length" else finish


SPEECH = MistralSpeech()
