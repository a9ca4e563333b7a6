"""A streamed answer: JSON texts → OpenAI's chunks → one whole answer.

Gemini says no [DONE]: the end is the end of the body, and it is a good one where every choice has its finishReason. Each piece has the
usage so far (not verified), so a stream that was cut is charged by the last one that came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ProviderError
from rateguard.engine.providers.base import Answer, Chunk, Request, Target
from rateguard.engine.providers.gemini.answer import Completion
from rateguard.engine.providers.gemini.lines import JsonLines
from rateguard.engine.providers.gemini.usage import shown
from rateguard.engine.providers.malformed import malformed_answer


class GeminiReader:
    """Reads a stream of streamGenerateContent. as_error: what an error object within it means."""

    def __init__(self, target: Target, request: Request, headers: Mapping[str, str], as_error: Callable[[Any], ProviderError]) -> None:
        self._texts = JsonLines()
        self._whole = Completion(target, request, headers)
        self._as_error = as_error
        self._wants_usage = request.wants_usage
        self._began: set[int] = set()

    @property
    def is_complete(self) -> bool:
        """Whether every choice has ended, or the prompt was blocked."""
        return self._whole.is_complete

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """The chunks that these bytes complete. Raises ProviderError."""
        for text in self._texts.feed(piece):
            yield from self._take(text)

    def finish(self) -> Iterator[Chunk]:
        """What is left in the last bytes, and the usage where the caller asked for it. Raises ProviderError."""
        for text in self._texts.finish():
            yield from self._take(text)
        usage = self._whole.usage
        if self._wants_usage and usage is not None:
            tier = {"service_tier": usage.tier} if usage.tier else {}
            yield Chunk(self._chunk([], usage=shown(usage), **tier), has_content=False)

    def answer(self) -> Answer:
        """The completion put together."""
        return self._whole.answer()

    def _take(self, text: bytes) -> Iterator[Chunk]:
        try:
            told = orjson.loads(text)
        except orjson.JSONDecodeError:
            if self.is_complete:  # broken remains behind the end change nothing
                return
            raise malformed_answer("a piece of the stream is not JSON") from None
        for one in told if isinstance(told, list) else (told,):
            yield from self._add(one)

    def _add(self, told: Any) -> Iterator[Chunk]:
        if not isinstance(told, dict):
            raise malformed_answer("a piece of the stream is not an object")
        if told.get("error"):
            raise self._as_error(told["error"])
        added = self._whole.add(told)
        if self._whole.blocked is not None:
            if not self._began:
                self._began.add(0)
                yield self._blocked()
        elif added:
            yield self._chunk_of(added)

    def _chunk_of(self, added: list[Any]) -> Chunk:
        choices, text, has_content = [], "", False
        for candidate, said, delta in added:
            finish = candidate.finish_reason if said.get("finishReason") else None
            has_content = has_content or bool(delta or finish)
            if candidate.index == 0:
                text = delta.get("content", "")
            opening = {} if candidate.index in self._began else {"role": "assistant"}
            self._began.add(candidate.index)
            choice = {"index": candidate.index, "delta": {**opening, **delta}, "logprobs": candidate.new_logprobs, "finish_reason": finish}
            if finish:
                choice["native_finish_reason"] = candidate.native_finish
            choices.append(choice)
        return Chunk(self._chunk(choices), text, has_content)

    def _blocked(self) -> Chunk:
        choice = self._whole.blocked_choice()
        choice["delta"] = choice.pop("message")
        return Chunk(self._chunk([choice]))

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return orjson.dumps({**self._whole.head, "object": "chat.completion.chunk", "choices": choices, **more})
