"""`answers`: a block inside which every job of this process runs at once and gets the answer that the test says."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.base import Endpoint, Outcome, Request
from rateguard.jobs.attempts import inplace
from rateguard.jobs.models import Job
from rateguard.testing.asked import Asked, Pattern, is_meant
from rateguard.testing.response import Answer, chat, embedding, vector_of
from rateguard.testing.world import made_up, make_tenant
from tenants.directory import Place


class Unanswered(AssertionError):
    """A test's code asked for something that the test gave no answer to; the message shows the prompt and what to write."""


@dataclasses.dataclass(slots=True)
class _Rule:
    """Calls that fit get this answer, or this failure; left: how many more times, None for ever."""

    pattern: Pattern
    answer: Answer | ProviderError
    left: int | None


class Answers(contextlib.ContextDecorator):
    """The test's provider. Rules are tried in the order in which they were said; the first that fits answers."""

    _default: Answer | None

    def __init__(self, *, default: Answer | None = None, input_usd: float = 0, output_usd: float = 0) -> None:
        """default: the answer where no rule fits. input_usd, output_usd: dollars per million tokens of models that are made up."""
        self._first_default: Answer | None = default
        self._usd = (input_usd, output_usd)
        self._blocks = contextlib.ExitStack()
        self._forget()

    # ---- what the test says

    def on(self, pattern: Pattern, answer: Answer, *, times: int | None = None) -> Self:
        """Answer calls that fit, at most so many times.

        pattern: a text that the prompt holds, a compiled expression, or a function of the call. answer: a text, a message with `role`, a
        whole response with `choices`, an embedding, an exception to raise, or a function of the call that gives one of these.
        """
        self._rules.append(_Rule(pattern, answer, times))
        return self

    def fails(
        self, pattern: Pattern = "", *, code: str = "bad_request", message: str = "as the test says", times: int | None = None
    ) -> Self:
        """Let calls that fit fail, at most so many times. Codes that are tried again in real life are tried again, without a wait.

        code: `bad_request`, `server`, `rate_limited`, `timeout`, … (see ErrorKind).
        """
        try:
            kind = ErrorKind(code)
        except ValueError:
            raise ValueError(f"there is no code {code!r}; the codes are {', '.join(ErrorKind)}") from None
        self._rules.append(_Rule(pattern, ProviderError(message, kind=kind), times))
        return self

    def default(self, answer: Answer) -> Self:
        """Answer every other call."""
        self._default = answer
        return self

    # ---- what came

    @property
    def calls(self) -> Sequence[Asked]:
        """All calls in order, each attempt by itself."""
        return tuple(self._calls)

    def count(self, pattern: Pattern = "") -> int:
        """How many calls fit."""
        return sum(is_meant(pattern, asked) for asked in self._calls)

    # ---- the block

    def __enter__(self) -> Self:
        self._forget()
        self._blocks.enter_context(made_up(*self._usd))
        self._blocks.enter_context(inplace.installed(inplace.Caller(self._call, pause=lambda _: None, make_tenant=make_tenant)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._blocks.close()
        if kind is None and self._unanswered is not None:  # whoever called it has swallowed the error
            raise self._unanswered

    def _forget(self) -> None:
        self._rules: list[_Rule] = []
        self._calls: list[Asked] = []
        self._default = self._first_default
        self._unanswered: Unanswered | None = None

    # ---- the call

    def _call(self, place: Place, request: Request, job: Job) -> Outcome:
        asked = _asked(request, job)
        self._calls.append(asked)
        sent_at = time.monotonic()
        said = self._answer_to(asked)
        answer = said(asked) if callable(said) else said
        if isinstance(answer, Exception):
            raise answer
        body, usage = (embedding if asked.endpoint == Endpoint.EMBEDDINGS else chat)(asked, answer, place.target.upstream_model)
        return Outcome(body, usage, "stop", f"test-{uuid.uuid4()}", sent_at, time.monotonic())

    def _answer_to(self, asked: Asked) -> Answer | ProviderError:
        for rule in self._rules:
            if rule.left != 0 and is_meant(rule.pattern, asked):
                if rule.left is not None:
                    rule.left -= 1
                return rule.answer
        if self._default is not None:
            return self._default
        if asked.endpoint == Endpoint.EMBEDDINGS:
            return [vector_of(text) for text in asked.texts]
        self._unanswered = Unanswered(_UNANSWERED.format(asked.model, asked.prompt, asked.prompt.strip()[:40] or asked.model))
        raise self._unanswered


_UNANSWERED = """no answer is said for this prompt to {}:

{}

Say one: llm.on({!r}, "the answer"), or llm.default("ok") for all."""


def answers(*, default: Answer | None = None, input_usd: float = 0, output_usd: float = 0) -> Answers:
    """A block, or a decorator of a function, inside which jobs run at once and are answered by the test. See Answers."""
    return Answers(default=default, input_usd=input_usd, output_usd=output_usd)


def _asked(request: Request, job: Job) -> Asked:
    return Asked(
        body=request.body,
        endpoint=request.endpoint,
        job_id=job.pk,
        attempt=job.attempt + 1,
        tenant=job.tenant.name,
        user=job.user,
        team=job.team,
        labels=job.labels,
    )
