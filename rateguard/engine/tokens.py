"""How many tokens a request's input has, counted without a network.

Exact for plain text in the encodings `o200k_base` and `cl100k_base`; a chat's overhead is good to a token or two, that of tools to 5 %.
Counting is linear in the text, also for a million blanks; `*_async` moves what takes longer than a few milliseconds off the event loop.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tiktoken.model

from rateguard.engine.encodings import CL100K, O200K, get_encoding

LARGE_CHARS = 50_000
"""Texts longer than this, in characters, take milliseconds: they are counted in a thread."""

IMAGE_TOKENS = 1_600
"""Reserved for an image or another part whose size nobody told us."""

# The chat overhead of OpenAI's cookbook: 3 for the reply's primer, 3 a message, 1 for a name.
_REPLY_TOKENS = 3
_MESSAGE_TOKENS = 3
_NAME_TOKENS = 1

# The overhead of tools, fitted to real replies; a system message already has 4 of it.
_TOOLS_TOKENS = 9
_TOOLS_TOKENS_SHARED_WITH_SYSTEM = 4
_NAMED_TOOL_CHOICE_TOKENS = 7

_PIECE_CHARS = 4_096
# Where both encodings' patterns always begin a new piece, so that a cut changes no count: before a blank behind text, behind a line's
# end, before East Asian punctuation behind a word.
_HARMLESS_CUT = re.compile(r"(?<=\S) |(?<=[\r\n])(?=[^\s/])|(?<=[^\W_])(?=[。，、！？；：])")  # noqa: RUF001 - these are the characters meant


@functools.lru_cache(maxsize=1024)
def encoding_for(model: str) -> str:
    """The name of a model's encoding; `o200k_base` for every name that tiktoken does not know.

    >>> encoding_for("gpt-4o-mini"), encoding_for("text-embedding-3-small"), encoding_for("our-own-model")
    ('o200k_base', 'cl100k_base', 'o200k_base')
    """
    try:
        name = tiktoken.model.encoding_name_for_model(model)
    except KeyError:
        return O200K
    return CL100K if name == CL100K else O200K


def is_large(chars: int) -> bool:
    """Whether counting that many characters may hold up an event loop."""
    return chars > LARGE_CHARS


def count_text(text: str, model: str) -> int:
    """The tokens of a plain text. Special tokens in it are counted as the text that they are."""
    encode = get_encoding(encoding_for(model)).encode_ordinary
    if len(text) <= _PIECE_CHARS:
        return len(encode(text))
    return sum(len(encode(piece)) for piece in _pieces(text))


def count_messages(messages: Sequence[Mapping[str, Any]], model: str, tools: Sequence[Mapping[str, Any]] | None = None) -> int:
    """The input tokens of a chat: messages in OpenAI's shape, with the functions that it may call."""
    total = _REPLY_TOKENS + sum(_count_message(message, model) for message in messages)
    if tools:
        total += count_text(_render_tools(tools), model) + _TOOLS_TOKENS
        if any(message.get("role") == "system" for message in messages):
            total -= _TOOLS_TOKENS_SHARED_WITH_SYSTEM
    return total


def count_embeddings(texts: str | Sequence[Any], model: str) -> int:
    """The tokens of an embeddings request's `input`: a text, texts, a token array or token arrays."""
    if isinstance(texts, str):
        return count_text(texts, model)
    return sum(1 if isinstance(item, int) else count_text(item, model) if isinstance(item, str) else len(item) for item in texts)


def count_input(body: Mapping[str, Any], model: str) -> int:
    """The input tokens of a whole request body in OpenAI's shape, a chat's or an embedding's."""
    if "messages" not in body:
        return count_embeddings(body.get("input", ""), model)
    return count_messages(body["messages"], model, body.get("tools")) + _count_tool_choice(body.get("tool_choice"), model)


async def count_messages_async(
    messages: Sequence[Mapping[str, Any]],
    model: str,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """`count_messages`, in a thread where the texts are large."""
    if is_large(_chars(messages) + _chars(tools or ())):
        return await asyncio.to_thread(count_messages, messages, model, tools)
    return count_messages(messages, model, tools)


async def count_input_async(body: Mapping[str, Any], model: str) -> int:
    """`count_input`, in a thread where the texts are large."""
    if is_large(_chars([body.get("messages"), body.get("tools"), body.get("input")])):
        return await asyncio.to_thread(count_input, body, model)
    return count_input(body, model)


def _pieces(text: str) -> Iterator[str]:
    """Cut a text where no count changes; a run without such a place is cut anyway, since tiktoken is quadratic on it or gives up."""
    start = 0
    while len(text) - start > _PIECE_CHARS:
        cut = _HARMLESS_CUT.search(text, start + _PIECE_CHARS, start + 2 * _PIECE_CHARS)
        end = cut.start() if cut else start + _PIECE_CHARS
        yield text[start:end]
        start = end
    yield text[start:]


def _count_message(message: Mapping[str, Any], model: str) -> int:
    total = _MESSAGE_TOKENS + _count_word(str(message.get("role", "")), model) + _count_content(message.get("content"), model)
    if name := message.get("name"):
        total += count_text(str(name), model) + _NAME_TOKENS
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        total += count_text(str(function.get("name", "")), model) + count_text(str(function.get("arguments", "")), model)
    return total


@functools.lru_cache(maxsize=256)
def _count_word(word: str, model: str) -> int:
    return count_text(word, model)


def _count_content(content: object, model: str) -> int:
    if isinstance(content, str):
        return count_text(content, model)
    if isinstance(content, list):
        return sum(_count_part(part, model) for part in content)
    return 0


def _count_part(part: object, model: str) -> int:
    if isinstance(part, str):
        return count_text(part, model)
    if isinstance(part, Mapping):
        text = part.get("text") or part.get("refusal")
        if isinstance(text, str):
            return count_text(text, model)
    return IMAGE_TOKENS


def _count_tool_choice(choice: object, model: str) -> int:
    if choice == "none":
        return 1
    if isinstance(choice, Mapping):
        return _NAMED_TOOL_CHOICE_TOKENS + count_text(str((choice.get("function") or {}).get("name", "")), model)
    return 0


def _render_tools(tools: Sequence[Mapping[str, Any]]) -> str:
    """Tools as the TypeScript-like namespace in which the model reads them."""
    functions = [_render_function(tool.get("function") or {}) for tool in tools]
    return "\n".join(["namespace functions {", "", *functions, "} // namespace functions"])


def _render_function(function: Mapping[str, Any]) -> str:
    lines = [f"// {function['description']}"] if function.get("description") else []
    properties = (function.get("parameters") or {}).get("properties")
    if not properties:
        return "\n".join([*lines, f"type {function.get('name', '')} = () => any;", ""])
    lines.append(f"type {function.get('name', '')} = (_: {{")
    lines.append(_render_properties(function["parameters"]))
    return "\n".join([*lines, "}) => any;", ""])


def _render_properties(schema: Mapping[str, Any]) -> str:
    required = schema.get("required") or ()
    lines = []
    for name, value in (schema.get("properties") or {}).items():
        if value.get("description"):
            lines.append(f"// {value['description']}")
        lines.append(f"{name}{'' if name in required else '?'}: {_render_type(value)},")
    return "\n".join(lines)


def _render_type(schema: Mapping[str, Any]) -> str:
    if schema.get("enum"):
        return " | ".join(f'"{value}"' for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"{_render_type(schema.get('items') or {})}[]"
    if kind == "object" and schema.get("properties"):
        return f"{{\n{_render_properties(schema)}\n}}"
    return "number" if kind == "integer" else str(kind)


def _chars(value: object) -> int:
    """About how many characters of text lie in a JSON value; token arrays count nothing."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_chars(item) for item in value.values())
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], int):
            return 0
        return sum(_chars(item) for item in value)
    return 0
