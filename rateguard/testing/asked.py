"""What a test's provider is asked: one call, as patterns and answers look at it."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from rateguard.engine.providers.base import Endpoint


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One call. body: the request in OpenAI's shape. attempt: 1, or more where earlier ones of the same job failed."""

    body: Mapping[str, Any]
    endpoint: Endpoint
    job_id: uuid.UUID
    attempt: int
    tenant: str
    user: str
    team: str
    labels: Mapping[str, str]

    @property
    def model(self) -> str:
        """The public name of the model."""
        return str(self.body["model"])

    @property
    def texts(self) -> list[str]:
        """The texts of all messages, or those to embed, in order."""
        if self.endpoint == Endpoint.EMBEDDINGS:
            given = self.body["input"]
            many = [given] if isinstance(given, str) or not any(isinstance(one, str | list) for one in given) else given
            return [one if isinstance(one, str) else " ".join(map(str, one)) for one in many]
        return [_text(message.get("content")) for message in self.body["messages"]]

    @property
    def prompt(self) -> str:
        """All texts, a line break between them: what patterns are looked for in."""
        return "\n".join(self.texts)


Pattern = str | re.Pattern[str] | Callable[[Asked], object]
"""A text that the prompt holds, an expression that is found in it, or a function that says whether it is meant."""


def is_meant(pattern: Pattern, asked: Asked) -> bool:
    """Whether a pattern fits a call."""
    if isinstance(pattern, str):
        return pattern in asked.prompt
    if isinstance(pattern, re.Pattern):
        return pattern.search(asked.prompt) is not None
    return bool(pattern(asked))


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""
