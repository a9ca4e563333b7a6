"""How many tokens a request's input has, counted without a network: texts, families of models, tools, images, sounds, files."""

from rateguard.engine.tokens.images import UNKNOWN_TOKENS as IMAGE_TOKENS
from rateguard.engine.tokens.requests import (
    count_embeddings,
    count_input,
    count_input_async,
    count_messages,
    count_messages_async,
    count_output,
)
from rateguard.engine.tokens.text import LARGE_CHARS, count_text, encoding_for, is_large

__all__ = [
    "IMAGE_TOKENS",
    "LARGE_CHARS",
    "count_embeddings",
    "count_input",
    "count_input_async",
    "count_messages",
    "count_messages_async",
    "count_output",
    "count_text",
    "encoding_for",
    "is_large",
]
