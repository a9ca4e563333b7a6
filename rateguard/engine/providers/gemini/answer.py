"""A whole answer of generateContent as a `chat.completion`, and what a stream's pieces add up to.

A prompt that Gemini blocked is a result, not an error: status 200 without candidates; its one choice says `content_filter` and why.
What its input cost stands in its usage, as in any other.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Answer, Request, Target
from rateguard.engine.providers.gemini.candidate import Candidate
from rateguard.engine.providers.gemini.grounding import searches_of
from rateguard.engine.providers.gemini.thinking import generation
from rateguard.engine.providers.gemini.usage import parse_usage, shown
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object

TIER_HEADER = "x-gemini-service-tier"
"""The tier that was really used, of the Gemini API. Source: a recorded run of April 2026 (not verified here)."""


class Completion:
    """The chat completion that Gemini's answers add up to: one whole one, or those of a stream.

    headers: of the answer. In a stream each piece has the usage so far, and the last one counts.
    """

    def __init__(self, target: Target, request: Request, headers: Mapping[str, str]) -> None:
        self._target = target
        self._asked_tier = headers.get(TIER_HEADER) or str(request.body.get("service_tier") or "")
        self._attempt_id = request.attempt_id
        self._usage: Mapping[str, Any] = {}
        self.head: dict[str, Any] = {}
        self.candidates: dict[int, Candidate] = {}
        self.blocked: Mapping[str, Any] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether each choice that began has ended, or the prompt was blocked."""
        return self.blocked is not None or (bool(self.candidates) and all(one.native_finish for one in self.candidates.values()))

    @property
    def usage(self) -> Usage | None:
        """As billed; None where Gemini said nothing of it."""
        if not self._usage:
            return None
        number = generation(self._target)
        searches = sum(searches_of(one.queries, number) for one in self.candidates.values())
        return parse_usage(self._usage, self._asked_tier, searches)

    @property
    def finish_reason(self) -> str:
        """The first choice's, in OpenAI's word."""
        if self.blocked is not None:
            return "content_filter"
        first = self.candidates.get(0)
        return (first.finish_reason if first else None) or "stop"

    def add(self, told: Mapping[str, Any]) -> list[tuple[Candidate, Mapping[str, Any], dict[str, Any]]]:
        """Take an answer, or a piece of one, in; returns its candidates with what each says and OpenAI's delta of that.

        Raises ProviderError (SERVER) for a shape that is not Gemini's.
        """
        try:
            return self._add(told)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise malformed_answer("it has another shape than Gemini's answers") from None

    def _add(self, told: Mapping[str, Any]) -> list[tuple[Candidate, Mapping[str, Any], dict[str, Any]]]:
        if not self.head:
            self._begin(told)
        if usage := told.get("usageMetadata"):
            self._usage = {**usage}
        added = []
        for said in told.get("candidates") or ():
            index = int(said.get("index") or 0)
            candidate = self.candidates.get(index)
            if candidate is None:
                candidate = self.candidates[index] = Candidate(index, self._call_prefix(index))
            added.append((candidate, said, candidate.add(said)))
        feedback = told.get("promptFeedback")
        if feedback and feedback.get("blockReason") and not self.candidates:
            self.blocked = feedback
        return added

    def answer(self) -> Answer:
        """All of it, whole or as far as it came."""
        usage = self.usage
        choices = [self.candidates[index].whole() for index in sorted(self.candidates)]
        body = {**self.head, "object": "chat.completion", "choices": choices or ([self.blocked_choice()] if self.blocked else [])}
        if usage is not None:
            body["usage"] = shown(usage)
            if usage.tier:
                body["service_tier"] = usage.tier
        written = "".join(one.written for one in self.candidates.values())
        return Answer(orjson.dumps(body), usage, self.finish_reason, written)

    def blocked_choice(self) -> dict[str, Any]:
        """The choice of a prompt that was blocked."""
        blocked = self.blocked or {}
        reason = str(blocked.get("blockReason"))
        message = {
            "role": "assistant",
            "content": None,
            "refusal": blocked.get("blockReasonMessage") or f"the prompt was blocked: {reason}",
        }
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": "content_filter", "native_finish_reason": reason}

    def _begin(self, told: Mapping[str, Any]) -> None:
        self.head = {
            "id": str(told.get("responseId") or "") or f"chatcmpl-{self._attempt_id}",
            "created": int(time.time()),
            "model": str(told.get("modelVersion") or "") or self._target.upstream_model,
        }

    def _call_prefix(self, index: int) -> str:
        return f"call_{self.head['id']}" + (f"_{index}" if index else "")


def read(target: Target, request: Request, reply: Reply) -> Answer:
    """What a whole answer says. Raises ProviderError where it is none."""
    whole = Completion(target, request, reply.headers)
    whole.add(parse_object(reply.body))
    if not whole.candidates and whole.blocked is None:
        raise malformed_answer("the answer has no candidates")
    return whole.answer()
