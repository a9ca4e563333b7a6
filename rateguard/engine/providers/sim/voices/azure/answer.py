"""OpenAI's answers with what Azure's content filter says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from rateguard.engine.providers.sim.answers import event
from rateguard.engine.providers.sim.voices.asked import Finish, Words
from rateguard.engine.providers.sim.voices.openai import answer
from rateguard.engine.providers.sim.voices.voice import Piece


def filtered(kind: str = "") -> dict[str, Any]:
    """The verdict on each kind of content; `kind` is the one that was found."""
    kinds = ("hate", "self_harm", "sexual", "violence")
    return {name: {"filtered": name == kind, "severity": "high" if name == kind else "safe"} for name in kinds}


def chat_completion(words: Words) -> bytes:
    """A chat completion with the verdicts on the prompt and on the answer."""
    completion = answer.chat_completion(words)
    completion["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": filtered()}]
    found = "violence" if words.said.finish is Finish.FILTER else ""
    completion["choices"][0]["content_filter_results"] = filtered(found)
    return orjson.dumps(completion)


def events(words: Words) -> Iterator[Piece]:
    """Chunks; the first has no choice and the verdict on the prompt (not verified)."""
    first = {
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": filtered()}],
    }
    yield 0, event(orjson.dumps(first))
    yield from answer.events(words)
