"""How many tokens a text has, counted without a network: exact in the encodings `o200k_base` and `cl100k_base`.

Counting is linear in the text, also for a million blanks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import tiktoken.model

from rateguard.engine.encodings import CL100K, O200K, get_encoding

LARGE_CHARS = 50_000
"""Texts longer than this, in characters, take milliseconds: they are counted in a thread."""

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


def _pieces(text: str) -> Iterator[str]:
    """Cut a text where no count changes; a run without such a place is cut anyway, since tiktoken is quadratic on it or gives up."""
    start = 0
    while len(text) - start > _PIECE_CHARS:
        cut = _HARMLESS_CUT.search(text, start + _PIECE_CHARS, start + 2 * _PIECE_CHARS)
        end = cut.start() if cut else start + _PIECE_CHARS
        yield text[start:end]
        start = end
    yield text[start:]
