"""What a model of Bedrock's says, gathered into one chat completion: from a whole answer at once, from a stream piece by piece."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Answer, Request, Target
from rateguard.engine.providers.bedrock.layout import Layout
from rateguard.engine.providers.bedrock.models import model_of
from rateguard.engine.providers.bedrock.tools import answers_by_tool
from rateguard.engine.providers.counted import in_openais_words

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
"""Any other word, such as malformed_tool_use, is `stop`; the word itself stands beside it as native_finish_reason."""


class Completion:
    """One answer, growing. wants_json: our own tool was forced, and its input is the content."""

    def __init__(self, target: Target, request: Request, headers: Mapping[str, str]) -> None:
        self.id = f"chatcmpl-{headers.get('x-amzn-requestid') or request.attempt_id}"
        self.created = int(time.time())
        self.model = target.upstream_model
        self.wants_json = answers_by_tool(request.body, model_of(target))
        self.texts: list[str] = []
        self.reasoning: list[str] = []
        self.layout = Layout()
        self.calls: list[dict[str, Any]] = []
        self.stop_reason = ""
        self.usage: Usage | None = None
        self.tier = ""

    @property
    def finish_reason(self) -> str:
        """Why it ended, in OpenAI's word."""
        if self.stop_reason == "tool_use" and not self.calls:
            return "stop"  # the only call was that of our own tool
        return _FINISH.get(self.stop_reason, "stop")

    def answer(self) -> Answer:
        """The completion, whole or as far as it came."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.texts) or None, "refusal": None}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if fields := self.layout.fields(self.texts):
            message["provider_fields"] = fields
        if self.calls:
            message["tool_calls"] = self.calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self.finish_reason,
            "native_finish_reason": self.stop_reason,
        }
        whole = {"id": self.id, "object": "chat.completion", "created": self.created, "model": self.model, "choices": [choice]}
        if self.usage is not None:
            whole["usage"] = in_openais_words(self.usage)
        if self.tier:
            whole["service_tier"] = self.tier
        return Answer(orjson.dumps(whole), self.usage, self.finish_reason, "" if self.usage else self._all_text())

    def call(self, tool_use: Mapping[str, Any], arguments: str) -> dict[str, Any]:
        """A tool that the model calls, added; arguments: JSON, or what came of it."""
        function = {"name": str(tool_use.get("name") or ""), "arguments": arguments}
        added = {"id": str(tool_use.get("toolUseId") or ""), "type": "function", "function": function}
        self.layout.call(self.texts)
        self.calls.append(added)
        return added

    def _all_text(self) -> str:
        arguments = [call["function"]["name"] + call["function"]["arguments"] for call in self.calls]
        return "".join([*self.reasoning, *self.texts, *arguments])
