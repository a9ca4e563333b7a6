"""A test's answer as a provider would have given it: OpenAI's shape, with the tokens counted as the real ones are."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from rateguard.engine.money import Usage
from rateguard.engine.tokens import count_input, count_text
from rateguard.testing.asked import Asked

Answer = str | Mapping[str, Any] | Sequence[Any] | Exception | Callable[[Asked], Any]
"""A text, a message, a whole response; vectors for texts to embed; an exception to raise; or a function of the call that gives one."""

DIMENSIONS = 8


def chat(asked: Asked, answer: Any, model: str) -> tuple[bytes, Usage]:
    """The body and the usage of a completion."""
    if isinstance(answer, Mapping) and "choices" in answer:
        response = dict(answer)
    else:
        message = dict(answer) if isinstance(answer, Mapping) else {"role": "assistant", "content": str(answer)}
        response = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}]}
    output = sum(_count(choice.get("message"), model) for choice in response["choices"])
    return _whole(asked, "chat.completion", response, model, output)


def embedding(asked: Asked, answer: Any, model: str) -> tuple[bytes, Usage]:
    """The body and the usage of embeddings; one vector is that of each text."""
    if isinstance(answer, Mapping) and "data" in answer:
        return _whole(asked, "list", dict(answer), model, 0)
    vectors = [answer] * len(asked.texts) if answer and not isinstance(answer[0], Sequence) else list(answer)
    if len(vectors) != len(asked.texts):
        raise ValueError(f"{len(asked.texts)} texts are to be embedded, and the test's answer has {len(vectors)} vectors")
    data = [{"object": "embedding", "index": index, "embedding": list(vector)} for index, vector in enumerate(vectors)]
    return _whole(asked, "list", {"data": data}, model, 0)


def vector_of(text: str) -> list[float]:
    """A text's own vector of length one, always the same."""
    numbers = [byte / 127.5 - 1 for byte in hashlib.sha256(text.encode()).digest()[:DIMENSIONS]]
    length = sum(number * number for number in numbers) ** 0.5 or 1.0
    return [number / length for number in numbers]


def _whole(asked: Asked, kind: str, response: dict[str, Any], model: str, output: int) -> tuple[bytes, Usage]:
    """What the test left out of the response is filled in; usage that it says itself counts."""
    prompt = count_input(dict(asked.body), model)
    told = response.get("usage") or {}
    prompt, output = told.get("prompt_tokens", prompt), told.get("completion_tokens", output)
    usage = {"prompt_tokens": prompt, "total_tokens": prompt + output}
    if kind != "list":
        usage["completion_tokens"] = output
    whole = {"id": f"test-{asked.job_id}", "object": kind, "created": int(time.time()), "model": asked.model, **response, "usage": usage}
    return orjson.dumps(whole), Usage(input_tokens=prompt, output_tokens=output)


def _count(message: Any, model: str) -> int:
    """The tokens of a message's text and of what it calls."""
    if not isinstance(message, Mapping):
        return 0
    content = message.get("content")
    said = content if isinstance(content, str) else ""
    calls = message.get("tool_calls")
    return count_text(said + (orjson.dumps(calls).decode() if calls else ""), model)
