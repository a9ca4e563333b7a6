"""`{previous}`: what the step before a job came to, put into the job's own text or messages."""

from __future__ import annotations

from typing import Any

import orjson

from rateguard.jobs.ends.completion import Completion, revive

PLACE = "{previous}"


def text_of(previous: Any) -> str:
    """A completion's text, a text itself; the texts of many with blank lines between them; anything else as JSON."""
    previous = revive(previous)
    if isinstance(previous, Completion | str):
        return str(previous)
    if isinstance(previous, list):
        return "\n\n".join(text_of(one) for one in previous)
    return orjson.dumps(previous, default=str).decode()


def is_answer(given: Any) -> bool:
    """Whether it is what jobs came to, rather than what somebody wrote: a completion, or a list of them."""
    given = revive(given)
    return isinstance(given, Completion) or (isinstance(given, list) and bool(given) and all(isinstance(one, Completion) for one in given))


def put(text: str, into: Any) -> Any:
    """The same with each `{previous}` in a text replaced, in lists and objects too."""
    if isinstance(into, str):
        return into.replace(PLACE, text)
    if isinstance(into, list | tuple):
        return [put(text, one) for one in into]
    if isinstance(into, dict):
        return {key: put(text, one) for key, one in into.items()}
    return into
