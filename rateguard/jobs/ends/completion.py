"""A job's answer as Python code gets it: the text, what it used and cost, and what the provider said, word for word.

It is a dict of plain JSON, so that it goes on to the next task of a chain as it is; `revive` gives it its properties again there.
"""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from typing import Any, Self

import orjson

from rateguard.engine.lanes import Lane
from rateguard.engine.money import NANO
from rateguard.jobs.ends.answer import answer_of
from rateguard.jobs.models import Job

OBJECT = "rateguard.completion"


class Completion(dict[str, Any]):
    """The answer of one job. `str()` of it is the text; its items are JSON, under the names of its properties."""

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer of a job that succeeded."""
        response = orjson.loads(answer_of(job) or "null")
        message = _message(response)
        return cls(
            object=OBJECT,
            id=str(job.pk),
            model=job.model,
            deployment=job.deployment,
            text=_text(message),
            message=message,
            usage={
                "prompt_tokens": job.used_input_tokens,
                "completion_tokens": job.used_output_tokens,
                "total_tokens": job.used_input_tokens + job.used_output_tokens,
            },
            cost_nano_usd=job.nano_usd,
            queue_ms=job.queue_ms,
            latency_ms=job.latency_ms,
            attempts=_attempts(job),
            response=response,
        )

    def __str__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)

    def __repr__(self) -> str:
        return f"<Completion {self.id} {self.text[:60]!r}>"

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self["id"])

    @property
    def model(self) -> str:
        """The public name of the model that answered; another than was asked for where a budget chose a cheaper one."""
        return str(self["model"])

    @property
    def deployment(self) -> str:
        """The deployment that answered."""
        return str(self["deployment"])

    @property
    def text(self) -> str:
        """The first choice's text; empty where there is none: tool calls, embeddings."""
        return str(self["text"])

    @property
    def message(self) -> dict[str, Any]:
        """The first choice's message, in OpenAI's shape; empty for embeddings."""
        found: dict[str, Any] = self["message"]
        return found

    @property
    def embeddings(self) -> list[Any]:
        """The vectors in the order of the texts; each as it was asked for: a list of numbers, or base64. Empty for chat."""
        data = self.response.get("data") if isinstance(self.response, Mapping) else None
        return [item["embedding"] for item in data or ()]

    @property
    def usage(self) -> dict[str, int]:
        """Tokens as billed, over all attempts: prompt_tokens, completion_tokens, total_tokens."""
        found: dict[str, int] = self["usage"]
        return found

    @property
    def cost(self) -> decimal.Decimal:
        """Dollars, exact, over all attempts."""
        return decimal.Decimal(self.cost_nano_usd) / NANO

    @property
    def cost_nano_usd(self) -> int:
        """The same in whole nano-dollars."""
        return int(self["cost_nano_usd"])

    @property
    def queue_ms(self) -> int | None:
        """How long it waited before its last attempt, milliseconds."""
        return self["queue_ms"]  # type: ignore[no-any-return]  # JSON that `of` has written

    @property
    def latency_ms(self) -> int | None:
        """How long the call that succeeded took, milliseconds."""
        return self["latency_ms"]  # type: ignore[no-any-return]  # as above

    @property
    def attempts(self) -> int:
        """Calls made for it, the last one included."""
        return int(self["attempts"])

    @property
    def response(self) -> Any:
        """The provider's answer, word for word."""
        return self["response"]


def revive(value: Any) -> Any:
    """The same value, with every answer that went through JSON a Completion again, also in lists."""
    if isinstance(value, list | tuple):
        return [revive(item) for item in value]
    if isinstance(value, dict) and not isinstance(value, Completion) and value.get("object") == OBJECT:
        return Completion(value)
    return value


def _attempts(job: Job) -> int:
    """Asked of the rows only where it may be more than one: of the critical lane a first attempt may have had a second call beside it."""
    may_be_more = job.attempt > 1 or job.lane == Lane.CRITICAL
    return job.attempts.count() if may_be_more and job.attempt else job.attempt


def _message(response: Any) -> dict[str, Any]:
    choices = response.get("choices") if isinstance(response, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return message if isinstance(message, dict) else {}


def _text(message: Mapping[str, Any]) -> str:
    """Content is a text, parts with texts, or nothing."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
