"""How many tokens a request's input has: a chat's overhead is good to a token or two at OpenAI, that of tools to 5 %.

`*_async` moves what takes longer than a few milliseconds off the event loop.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rateguard.engine.tokens import tools as functions
from rateguard.engine.tokens.attachments import tokens_of_part
from rateguard.engine.tokens.families import PERMILLE, Family, family_of
from rateguard.engine.tokens.images import UNKNOWN_TOKENS
from rateguard.engine.tokens.text import count_text, is_large

# The chat overhead of OpenAI's cookbook: 3 for the reply's primer, 3 a message, 1 for a name. Taken for all families.
_REPLY_TOKENS = 3
_MESSAGE_TOKENS = 3
_NAME_TOKENS = 1

# The overhead of tools at OpenAI, fitted to real replies; a system message already has 4 of it.
_TOOLS_TOKENS = 9
_TOOLS_TOKENS_SHARED_WITH_SYSTEM = 4
_NAMED_TOOL_CHOICE_TOKENS = 7

_LATIN = re.compile(r"[\u0000-\u024f\u1e00-\u1eff\u2000-\u206f]+")
_LATIN_CHARS, _OTHER_CHARS = 41, 17
"""Characters of ten o200k tokens: English, and Chinese or Japanese, the densest of the other scripts. Measured."""


class Count:
    """Adds up tokens of a model, in thousandths, and is rounded up once."""

    def __init__(self, model: str, provider: str = "openai") -> None:
        self.family: Family = family_of(provider, model)
        self._model = model
        self._permille = 0

    @property
    def tokens(self) -> int:
        """What was added up."""
        return -(-self._permille // PERMILLE)

    def add(self, tokens: int) -> None:
        """Tokens that the family's factor is not for."""
        self._permille += tokens * PERMILLE

    def add_text(self, text: str) -> None:
        """A text, by the family's factor for its script."""
        self._permille += count_text(text, self._model) * _factor(self.family, text)

    def add_content(self, content: object) -> None:
        """A text, or parts of a message."""
        if isinstance(content, str):
            self.add_text(content)
        elif isinstance(content, list):
            for part in content:
                self._add_part(part)

    def _add_part(self, part: object) -> None:
        text = part if isinstance(part, str) else None
        if isinstance(part, Mapping):
            text = part.get("text") or part.get("refusal")
        if isinstance(text, str):
            self.add_text(text)
        else:
            self.add(tokens_of_part(part, self.family, self._model) if isinstance(part, Mapping) else UNKNOWN_TOKENS)

    def add_message(self, message: Mapping[str, Any]) -> None:
        """A message in OpenAI's shape, with its calls of tools."""
        self.add(_MESSAGE_TOKENS)
        self._permille += _count_word(str(message.get("role", "")), self._model) * self.family.latin_permille
        self.add_content(message.get("content"))
        if name := message.get("name"):
            self.add_text(str(name))
            self.add(_NAME_TOKENS)
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            self.add_text(str(function.get("name", "")))
            self.add_text(str(function.get("arguments", "")))

    def add_tools(self, tools: Sequence[Mapping[str, Any]], *, has_system: bool) -> None:
        """The functions that a chat may call."""
        if self.family.is_exact:
            self.add_text(functions.rendered(tools))
            self.add(_TOOLS_TOKENS - _TOOLS_TOKENS_SHARED_WITH_SYSTEM * has_system)
        else:
            self.add_text(functions.as_json(tools))
            self.add(max(_TOOLS_TOKENS, self.family.tools_tokens))

    def add_tool_choice(self, choice: object) -> None:
        """What says which of them it must call."""
        if choice == "none":
            self.add(1)
        elif isinstance(choice, Mapping):
            self.add(_NAMED_TOOL_CHOICE_TOKENS)
            self.add_text(str(functions.function_of(choice).get("name", "")))


@functools.lru_cache(maxsize=256)
def _count_word(word: str, model: str) -> int:
    return count_text(word, model)


def _factor(family: Family, text: str) -> int:
    """Permille of OpenAI's count: between the two scripts' by the share of tokens that each of them is likely to have."""
    if family.latin_permille == family.other_permille or text.isascii():
        return family.latin_permille
    other = len(_LATIN.sub("", text)) * _LATIN_CHARS
    latin = (len(text) - other // _LATIN_CHARS) * _OTHER_CHARS
    return family.latin_permille + -(-(family.other_permille - family.latin_permille) * other // (latin + other))


def count_messages(
    messages: Sequence[Mapping[str, Any]], model: str, tools: Sequence[Mapping[str, Any]] | None = None, provider: str = "openai"
) -> int:
    """The input tokens of a chat: messages in OpenAI's shape, with the functions that it may call."""
    count = Count(model, provider)
    _add_chat(count, messages, tools)
    return count.tokens


def count_output(text: str, model: str, provider: str = "openai") -> int:
    """The tokens of what a model wrote."""
    count = Count(model, provider)
    count.add_text(text)
    return count.tokens


def count_embeddings(texts: str | Sequence[Any], model: str, provider: str = "openai") -> int:
    """The tokens of an embeddings request's `input`: a text, texts, a token array or token arrays."""
    count = Count(model, provider)
    _add_texts(count, texts)
    return count.tokens


def count_input(body: Mapping[str, Any], model: str, provider: str = "openai") -> int:
    """The input tokens of a whole request body in OpenAI's shape: a chat's, an embedding's or that of Responses.

    model: as the provider calls it; provider: as accounts do.
    """
    count, given = Count(model, provider), body.get("input", "")
    if "messages" in body:
        _add_chat(count, body["messages"], body.get("tools"))
        count.add_tool_choice(body.get("tool_choice"))
    elif _is_responses(body):
        _add_responses(count, body)
    else:
        _add_texts(count, given)
    return count.tokens


def _add_chat(count: Count, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None) -> None:
    count.add(_REPLY_TOKENS)
    for message in messages:
        count.add_message(message)
    if tools:
        count.add_tools(tools, has_system=any(message.get("role") == "system" for message in messages))


def _add_texts(count: Count, texts: str | Sequence[Any]) -> None:
    if isinstance(texts, str):
        count.add_text(texts)
        return
    for item in texts:
        if isinstance(item, str):
            count.add_text(item)
        else:
            count.add(1 if isinstance(item, int) else len(item))


# ---- Responses


def _is_responses(body: Mapping[str, Any]) -> bool:
    """Whether a body without messages is none of an embedding."""
    given = body.get("input")
    is_items = isinstance(given, list) and any(isinstance(item, Mapping) for item in given)
    return is_items or any(name in body for name in ("instructions", "max_output_tokens", "tools", "reasoning"))


def _add_responses(count: Count, body: Mapping[str, Any]) -> None:
    given, instructions, tools = body.get("input") or "", body.get("instructions"), body.get("tools")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    messages = [{"role": "system", "content": instructions}] if isinstance(instructions, str) else []
    _add_chat(count, [*messages, *map(_as_message, items)], tools)
    count.add_tool_choice(body.get("tool_choice"))


def _as_message(item: Any) -> Mapping[str, Any]:
    """An item of Responses as a message: what it holds beside a content is text to its model."""
    if not isinstance(item, Mapping):
        return {"content": str(item)}
    told = [str(item[name]) for name in ("name", "arguments", "output") if isinstance(item.get(name), str)]
    content = item.get("content")
    return {"role": item.get("role", ""), "content": [*(content if isinstance(content, list) else [content or ""]), *told]}


# ---- beside an event loop


async def count_messages_async(
    messages: Sequence[Mapping[str, Any]],
    model: str,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """`count_messages`, in a thread where the texts are large."""
    if is_large(_chars(messages) + _chars(tools or ())):
        return await asyncio.to_thread(count_messages, messages, model, tools)
    return count_messages(messages, model, tools)


async def count_input_async(body: Mapping[str, Any], model: str, provider: str = "openai") -> int:
    """`count_input`, in a thread where the texts are large."""
    if is_large(_chars([body.get("messages"), body.get("tools"), body.get("input")])):
        return await asyncio.to_thread(count_input, body, model, provider)
    return count_input(body, model, provider)


def _chars(value: object) -> int:
    """About how many characters of text lie in a JSON value; token arrays count nothing."""
    return sum(_lengths(value))


def _lengths(value: object) -> Iterator[int]:
    if isinstance(value, str):
        yield len(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _lengths(item)
    elif isinstance(value, list | tuple) and not (value and isinstance(value[0], int)):
        for item in value:
            yield from _lengths(item)
