"""A candidate, Gemini's word for a choice: piece by piece in a stream, or all at once. One piece of code reads both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rateguard.engine.providers.gemini.grounding import annotations_of

_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "LANGUAGE", "OTHER", "ESCALATION"),
        "content_filter",
    ),
    **dict.fromkeys(("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_OTHER", "IMAGE_RECITATION"), "content_filter"),
    "PUP_LIMITED_DISABLED": "content_filter",
}
"""Gemini's word → OpenAI's. Broken output (MALFORMED_FUNCTION_CALL and its like) and words that are new are `stop`."""


class Candidate:
    """One choice, growing. call_prefix: of the ids of calls to which Gemini gave none; they are the same whenever they are read.

    new_logprobs: those of the piece that came last, in OpenAI's shape. queries: that it put to Google Search. What is kept is of the kind
    that it should be, so that what came can be put together after a piece that raised.
    """

    def __init__(self, index: int, call_prefix: str) -> None:
        self.index = index
        self.native_finish = ""
        self.queries = 0
        self._grounding: Mapping[str, Any] = {}
        self._annotations: list[dict[str, Any]] = []
        self._call_prefix = call_prefix
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._length = 0
        self._calls: list[dict[str, Any]] = []
        self._signatures: list[dict[str, Any]] = []
        self._others: list[Mapping[str, Any]] = []
        self._logprobs: list[dict[str, Any]] = []
        self.new_logprobs: dict[str, Any] | None = None

    @property
    def finish_reason(self) -> str | None:
        """OpenAI's word; None as long as it goes on. A call is seen by its part: Gemini says STOP."""
        if not self.native_finish:
            return None
        word = _FINISH.get(self.native_finish, "stop")
        return "tool_calls" if self._calls and word == "stop" else word

    @property
    def text(self) -> str:
        """All visible text."""
        return "".join(self._texts)

    @property
    def written(self) -> str:
        """All that the model wrote, seen or not, for counting it."""
        calls = "".join(call["function"]["name"] + call["function"]["arguments"] for call in self._calls)
        return "".join(self._thoughts) + self.text + calls

    def add(self, candidate: Mapping[str, Any]) -> dict[str, Any]:
        """Take a piece in; returns OpenAI's delta of it. Raises the errors of Python's for a shape that is not Gemini's."""
        delta: dict[str, Any] = {}
        content = candidate.get("content")
        for part in (content.get("parts") or ()) if content else ():
            self._take(part, delta)
        if grounding := candidate.get("groundingMetadata"):
            self._grounding, self.queries = grounding, len(grounding.get("webSearchQueries") or ())
        logprobs = candidate.get("logprobsResult")
        self.new_logprobs = {"content": _logprobs(logprobs)} if logprobs else None
        if self.new_logprobs:
            self._logprobs += self.new_logprobs["content"]
        self.native_finish = str(candidate.get("finishReason") or self.native_finish)
        if self.native_finish:
            self._annotations = annotations_of(self._grounding, self.text)
            delta.update(self._at_the_end())
        return delta

    def whole(self) -> dict[str, Any]:
        """The choice of a `chat.completion`."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None, "refusal": None}
        if self._thoughts:
            message["reasoning_content"] = "".join(self._thoughts)
        if self._calls:
            message["tool_calls"] = self._calls
        message.update(self._at_the_end())
        choice = {
            "index": self.index,
            "message": message,
            "logprobs": {"content": self._logprobs} if self._logprobs else None,
            "finish_reason": self.finish_reason or "stop",
        }
        if self.native_finish:
            choice["native_finish_reason"] = self.native_finish
        return choice

    def _take(self, part: Mapping[str, Any], delta: dict[str, Any]) -> None:
        signature = part.get("thoughtSignature")
        text, call = part.get("text"), part.get("functionCall")
        if call is not None:
            self._take_call(call, signature, delta)
            return
        if text is not None and not isinstance(text, str):
            raise TypeError
        if text is None and not signature:
            self._others.append(part)
            return
        if part.get("thought"):
            self._thoughts.append(text or "")
            delta["reasoning_content"] = delta.get("reasoning_content", "") + (text or "")
            text = ""
        start, self._length = self._length, self._length + len(text or "")
        if text:
            self._texts.append(text)
            delta["content"] = delta.get("content", "") + text
        if signature:
            self._signatures.append({"start": start, "end": self._length, "signature": signature})

    def _take_call(self, call: Mapping[str, Any], signature: str | None, delta: dict[str, Any]) -> None:
        number = len(self._calls)
        call_id = str(call.get("id") or "") or f"{self._call_prefix}_{number}"
        function = {"name": str(call.get("name") or ""), "arguments": orjson.dumps(call.get("args") or {}).decode()}
        entry = {"id": call_id, "type": "function", "function": function}
        self._calls.append(entry)
        delta.setdefault("tool_calls", []).append({"index": number, **entry})
        if signature:
            self._signatures.append({"call": call_id, "signature": signature})

    def _at_the_end(self) -> dict[str, Any]:
        """What is told with the end: sources, and what Gemini wants back."""
        fields: dict[str, Any] = {}
        if self._signatures:
            fields["signatures"] = self._signatures
        if self._others:
            fields["parts"] = self._others
        found: dict[str, Any] = {"provider_fields": {"gemini": fields}} if fields else {}
        if self._annotations:
            found["annotations"] = self._annotations
        return found


def _logprobs(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gemini's result in OpenAI's shape: the chosen token of each step, with the likeliest ones."""
    tops: Sequence[Mapping[str, Any]] = told.get("topCandidates") or ()
    entries = []
    for step, chosen in enumerate(told.get("chosenCandidates") or ()):
        top = tops[step].get("candidates") or () if step < len(tops) else ()
        entries.append({**_token(chosen), "top_logprobs": [_token(one) for one in top]})
    return entries


def _token(told: Mapping[str, Any]) -> dict[str, Any]:
    token = str(told.get("token") or "")
    return {"token": token, "logprob": told.get("logProbability", 0.0), "bytes": list(token.encode())}
