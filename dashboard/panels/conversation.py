"""What was asked and what was answered, as people read it: turns of a conversation, and what else was said beside them. Pure.

A body is whatever a caller or a provider wrote: nothing of it is believed, and what is no conversation is shown as it is.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from dashboard.queries.job import Body

MOST_TURNS = 200
MOST_TEXTS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """Who says what. role: of the message, or `text` of embeddings. is_data: it is JSON."""

    role: str
    text: str
    is_data: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Conversation:
    """A body. rest: its other fields as JSON. raw: the beginning of a body that is too long or is no JSON, as it is. left_out: turns."""

    turns: tuple[Turn, ...] = ()
    rest: str = ""
    raw: str = ""
    left_out: int = 0
    size: int = 0


def asked(body: Body) -> Conversation:
    """A request."""
    found = _object(body)
    if found is None:
        return Conversation(raw=body.text, size=body.size)
    if isinstance(found.get("messages"), list):
        return _conversation(body, found, "messages", [_turn(one) for one in found["messages"][:MOST_TURNS]])
    texts = found.get("input", [])
    several = texts if isinstance(texts, list) else [texts]
    return _conversation(body, found, "input", [Turn("text", *_said(one)) for one in several[:MOST_TEXTS]], len(several))


def answered(body: Body) -> Conversation:
    """An answer."""
    found = _object(body)
    if found is None:
        return Conversation(raw=body.text, size=body.size)
    if isinstance(found.get("choices"), list):
        turns = [turn for one in found["choices"][:MOST_TURNS] for turn in _choice(one)]
        return _conversation(body, found, "choices", turns)
    data = found.get("data")
    if isinstance(data, list):
        return _conversation(body, found, "data", [Turn("embeddings", _vectors(data))], 1)
    return _conversation(body, found, "", [])


def _object(body: Body) -> dict[str, Any] | None:
    """None: it is cut, or no object."""
    try:
        found = json.loads(body.text) if body.is_whole else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _conversation(body: Body, found: Mapping[str, Any], but: str, turns: Iterable[Turn], count: int | None = None) -> Conversation:
    rest = {name: value for name, value in found.items() if name != but}
    shown = tuple(turns)
    several = found.get(but)
    in_all = count if count is not None else len(several) if isinstance(several, list) else len(shown)
    return Conversation(shown, _pretty(rest) if rest else "", "", max(0, in_all - len(shown)), body.size)


def _choice(one: Any) -> list[Turn]:
    message = one.get("message") if isinstance(one, dict) else None
    if not isinstance(message, dict):
        return [Turn("answer", _pretty(one), is_data=True)]
    return [_turn(message)]


def _turn(message: Any) -> Turn:
    """A message. Calls of tools stand below its text."""
    if not isinstance(message, dict):
        return Turn("message", _pretty(message), is_data=True)
    text, is_data = _said(message.get("content"))
    beside = [_called(one) for one in _list(message.get("tool_calls"))[:MOST_TEXTS]]
    beside += [_pretty(message[name]) for name in ("function_call", "refusal") if message.get(name)]
    return Turn(str(message.get("role", "message"))[:32], "\n\n".join(part for part in (text, *beside) if part), is_data and not text)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _called(call: Any) -> str:
    """A call of a tool: its name and what it is given."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return _pretty(call)
    return f"→ {function.get('name', '')}({function.get('arguments', '')})"


def _said(content: Any) -> tuple[str, bool]:
    """A text, the texts of its parts, or JSON; and whether it is that."""
    if content is None or isinstance(content, str):
        return content or "", False
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return "\n".join(_part(part) for part in content), False
    return _pretty(content), True


def _part(part: Mapping[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else f"[{part.get('type', 'something else')}]"


def _vectors(data: list[Any]) -> str:
    first = data[0].get("embedding") if data and isinstance(data[0], dict) else None
    each = f" of {len(first):,} numbers" if isinstance(first, list) else ""
    return f"{len(data):,} vectors{each}" if len(data) != 1 else f"1 vector{each}"


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
