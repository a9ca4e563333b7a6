"""A middleware that takes personal data out of what is stored and sent: e-mail addresses, telephone numbers, card numbers, IBANs.

    RATEGUARD = {"MIDDLEWARE": ["rateguard.screening.personal_data.PersonalData"]}

It looks at the texts of messages, parts, tool calls and inputs of embeddings, and in answers at what a model says. It does not look into
images and files, the schemas of tools, `user` and `metadata`. It finds what has the form of such data, and no names or addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from rateguard.engine.errors import ConfigurationError
from rateguard.screening.contract import Body, Context
from rateguard.screening.patterns import KINDS, redacted

_REQUEST = ("messages", "input", "instructions", "prompt")
_ANSWER = ("choices", "output")
_NOT_TEXT = {"role", "type", "id", "tool_call_id", "call_id", "url", "data", "file_data", "file_id", "model", "name", "provider_fields"}
_JSON = {"arguments"}
"""Texts that are JSON themselves: what stands in them is looked at value by value, so that they stay JSON."""


class PersonalData:
    """kinds: what is looked for (email, phone, card, iban). written: what stands there instead. answers: are looked at too."""

    def __init__(self, kinds: Iterable[str] = tuple(KINDS), *, written: str = "[{kind}]", answers: bool = True) -> None:
        self._kinds = tuple(kinds)
        if unknown := set(self._kinds) - set(KINDS):
            raise ConfigurationError(f"PersonalData knows {', '.join(sorted(KINDS))}, not {', '.join(sorted(unknown))}")
        self._written = written
        self._looks_at_answers = answers

    def before(self, request: Body, context: Context) -> Body:
        """The request without it."""
        return self._without(request, _REQUEST)

    def after(self, answer: Body, request: Body, context: Context) -> Body:
        """The answer without it."""
        return self._without(answer, _ANSWER) if self._looks_at_answers else answer

    def _without(self, body: Body, members: Iterable[str]) -> Body:
        return {**body, **{name: _mapped(body[name], self._text) for name in members if name in body}}

    def _text(self, text: str) -> str:
        return redacted(text, self._kinds, self._written)


def _mapped(value: Any, change: Callable[[str], str], name: str = "") -> Any:
    """Each text in it changed, but those that are none."""
    if isinstance(value, str):
        return _mapped_json(value, change) if name in _JSON else change(value)
    if isinstance(value, list):
        return [_mapped(one, change, name) for one in value]
    if isinstance(value, dict):
        return {key: one if key in _NOT_TEXT else _mapped(one, change, key) for key, one in value.items()}
    return value


def _mapped_json(text: str, change: Callable[[str], str]) -> str:
    try:
        read = orjson.loads(text)
    except orjson.JSONDecodeError:
        return change(text)
    made = _values(read, change)
    return text if made == read else orjson.dumps(made).decode()


def _values(value: Any, change: Callable[[str], str]) -> Any:
    """Every value, a number too: a card's may stand there as one."""
    if isinstance(value, list):
        return [_values(one, change) for one in value]
    if isinstance(value, dict):
        return {key: _values(one, change) for key, one in value.items()}
    if isinstance(value, str):
        return change(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if not is_number or (made := change(str(value))) == str(value) else made
