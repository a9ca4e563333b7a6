"""What an embeddings request must be before it is sent. Source: OpenAI's OpenAPI specification.

Bounds that need a count of tokens are judged where the input comes as tokens; a text that is too long OpenAI refuses itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rateguard.engine.errors import InvalidRequest, together
from rateguard.engine.providers.features import UNSUPPORTED
from rateguard.engine.providers.openai.quirks import Quirks

MOST_TOKENS = 8_192
"""Of one input."""
MOST_TOKENS_IN_ALL = 300_000
"""Of one request."""


def check_embeddings(provider: str, quirks: Quirks, model: str, body: Mapping[str, Any]) -> None:
    """Raises InvalidRequest (`unsupported_by_provider`) that names each field."""
    refusals = [*_input(provider, quirks, body.get("input")), *_dimensions(quirks, model, body)]
    if refusals:
        raise together(refusals)


def _input(provider: str, quirks: Quirks, given: Any) -> list[InvalidRequest]:
    if given in ("", []):
        return [_refusal(f"{provider} embeds no empty input", "/input")]
    if not isinstance(given, list):
        return []
    inputs = [given] if isinstance(given[0], int) else given
    found = []
    if quirks.most_inputs is not None and len(inputs) > quirks.most_inputs:
        found.append(_refusal(f"{provider} takes at most {quirks.most_inputs:,} inputs in one request", "/input"))
    if (empty := next((number for number, one in enumerate(inputs) if one in ("", [])), None)) is not None:
        found.append(_refusal(f"{provider} embeds no empty input", f"/input/{empty}"))
    return [*found, *_token_arrays(provider, inputs)]


def _token_arrays(provider: str, inputs: Sequence[Any]) -> list[InvalidRequest]:
    arrays = [len(one) for one in inputs if isinstance(one, list)]
    if arrays and max(arrays) > MOST_TOKENS:
        return [_refusal(f"{provider} takes at most {MOST_TOKENS:,} tokens in one input", "/input")]
    if sum(arrays) > MOST_TOKENS_IN_ALL:
        return [_refusal(f"{provider} takes at most {MOST_TOKENS_IN_ALL:,} tokens in one request", "/input")]
    return []


def _dimensions(quirks: Quirks, model: str, body: Mapping[str, Any]) -> list[InvalidRequest]:
    if body.get("dimensions") is None or not quirks.dimensions_of or not model.startswith("text-embedding-"):
        return []
    if model.startswith(quirks.dimensions_of):
        return []
    return [_refusal(f"{model} has one number of dimensions: leave the field out", "/dimensions")]


def _refusal(message: str, pointer: str) -> InvalidRequest:
    return InvalidRequest(message, code=UNSUPPORTED, pointer=pointer)
