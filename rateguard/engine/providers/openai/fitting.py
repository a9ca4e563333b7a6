"""Answers of OpenAI's dialect in OpenAI's own words: stop words, names of reasoning, parts of content, usage.

Each function changes what it is given in place and says whether it did: what needs no change is handed on byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rateguard.engine.providers.malformed import malformed_answer
from rateguard.engine.providers.openai.quirks import FINISH_WORDS, Quirks
from rateguard.engine.providers.openai.usage import in_openais_words


def fit_choices(choices: Iterable[dict[str, Any]], part: str, quirks: Quirks) -> bool:
    """Of a whole answer (part: `message`) or a piece of one (`delta`). Raises ProviderError for one that broke off."""
    has_changed = False
    for choice in choices:
        raw = choice.get("finish_reason")
        if raw and raw not in FINISH_WORDS:
            if raw in quirks.broken:
                raise malformed_answer(f"the answer broke off: {raw}")
            choice["native_finish_reason"], choice["finish_reason"] = raw, quirks.finish_word(str(raw))
            has_changed = True
        if quirks.rewrites_messages:
            has_changed |= _fit_message(choice.get(part), quirks)
    return has_changed


def fit_usage(answer: dict[str, Any], quirks: Quirks) -> bool:
    """The usage of an answer or of its last piece; Groq's stands in `x_groq` of the last piece."""
    groq = answer.get("x_groq")
    if groq and groq.get("usage") and not answer.get("usage"):
        answer["usage"] = groq["usage"]
        return True
    if not quirks.rewrites_usage or not answer.get("usage"):
        return False
    answer["usage"] = in_openais_words(answer["usage"])
    return True


def _fit_message(message: Any, quirks: Quirks) -> bool:
    """Reasoning under OpenAI-compatible servers' common name, and content in one text where it comes in parts (Mistral)."""
    if not isinstance(message, dict):
        return False
    has_changed = False
    if quirks.reasoning_field and quirks.reasoning_field in message:
        message["reasoning_content"] = message.pop(quirks.reasoning_field)
        has_changed = True
    if isinstance(message.get("content"), list):
        parts = [one for one in message["content"] if isinstance(one, dict)]
        thought = "".join(_text(piece) for one in parts if one.get("type") == "thinking" for piece in one.get("thinking") or ())
        message["content"] = "".join(_text(one) for one in parts if one.get("type") == "text")
        if thought:
            message["reasoning_content"] = thought
        has_changed = True
    return has_changed


def _text(part: Any) -> str:
    return str(part.get("text") or "") if isinstance(part, dict) else ""
