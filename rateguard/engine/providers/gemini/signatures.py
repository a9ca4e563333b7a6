"""Thought signatures: what Gemini needs back verbatim to go on from what it thought.

They travel in a message's `provider_fields`, which the caller hands back with it:
`{"gemini": {"signatures": [{"call": id, "signature": …}, {"start": n, "end": n, "signature": …}], "parts": […]}}`. The first kind
belongs to a tool call, the second to the characters start to end of the content; `parts` are parts for which OpenAI has no word (an image
that the model made). Gemini 3 refuses a tool call without a signature; a call that another model made, or whose caller lost it, gets
the word that Google's page on thought signatures has for this case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.gemini.refusals import invalid

UNSIGNED = "skip_thought_signature_validator"
"""Stands for a signature that there is not. Source: Google's page on thought signatures, questions."""

_FIELD = "thoughtSignature"


class HandedBack:
    """What a message of the assistant's brings back for Gemini; nothing where another provider made it. Raises InvalidRequest."""

    def __init__(self, message: Mapping[str, Any], pointer: str) -> None:
        fields = message.get("provider_fields")
        ours = fields.get("gemini") if isinstance(fields, Mapping) else None
        ours = ours if isinstance(ours, Mapping) else {}
        place = f"{pointer}/provider_fields/gemini"
        self.parts = _objects(ours.get("parts"), f"{place}/parts")
        entries = _objects(ours.get("signatures"), f"{place}/signatures")
        self._of_calls = {str(entry["call"]): str(entry.get("signature")) for entry in entries if "call" in entry}
        self._spans = [entry for entry in entries if "call" not in entry]

    @property
    def has_signed_call(self) -> bool:
        """Whether one of its tool calls has a signature: of calls made at once only the first has one."""
        return bool(self._of_calls)

    def sign_call(self, part: dict[str, Any], call_id: str) -> None:
        """Give a part with a call its signature, if there is one."""
        if call_id in self._of_calls:
            part[_FIELD] = self._of_calls[call_id]

    def signed_text(self, text: str) -> list[dict[str, Any]]:
        """The content in the parts in which it came; as it is where the caller changed it: then its signatures mean nothing."""
        parts: list[dict[str, Any]] = []
        position = 0
        for span in self._spans:
            start, end = span.get("start"), span.get("end")
            if not (isinstance(start, int) and isinstance(end, int) and position <= start <= end <= len(text)):
                return [{"text": text}] if text else []
            if start > position:
                parts.append({"text": text[position:start]})
            parts.append({"text": text[start:end], _FIELD: str(span.get("signature"))})
            position = end
        return [*parts, {"text": text[position:]}] if position < len(text) else parts


def _objects(value: Any, pointer: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise invalid("provider_fields are handed back as they came: this is a list of objects", pointer)
    return value
