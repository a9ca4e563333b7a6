"""OpenAI's two encodings as tiktoken objects, built in memory from the files beside this module: no download, no cache folder."""

from __future__ import annotations

import binascii
import gzip
import hashlib
import pathlib
import threading

import tiktoken

from rateguard.engine.errors import ConfigurationError

O200K = "o200k_base"
CL100K = "cl100k_base"

# Patterns and special tokens: tiktoken_ext/openai_public.py of tiktoken 0.14 (its own functions download before they tell them).
_PATTERNS = {
    O200K: (
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ),
    CL100K: (
        r"""'(?i:[sdmt]|ll|ve|re)""",
        r"""[^\r\n\p{L}\p{N}]?+\p{L}++""",
        r"""\p{N}{1,3}+""",
        r""" ?[^\s\p{L}\p{N}]++[\r\n]*+""",
        r"""\s++$""",
        r"""\s*[\r\n]""",
        r"""\s+(?!\S)""",
        r"""\s""",
    ),
}
_SPECIAL_TOKENS = {
    O200K: {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
    CL100K: {
        "<|endoftext|>": 100257,
        "<|fim_prefix|>": 100258,
        "<|fim_middle|>": 100259,
        "<|fim_suffix|>": 100260,
        "<|endofprompt|>": 100276,
    },
}
_SHA256 = {
    O200K: "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    CL100K: "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}

_loaded: dict[str, tiktoken.Encoding] = {}
_loading = threading.Lock()


def get_encoding(name: str) -> tiktoken.Encoding:
    """The encoding of that name (`o200k_base` or `cl100k_base`). The first call for a name builds it, about 0.2 s; safe in threads.

    Raises ConfigurationError where the shipped file was changed.
    """
    encoding = _loaded.get(name)
    if encoding is not None:
        return encoding
    with _loading:
        if name not in _loaded:
            _loaded[name] = _build(name)
        return _loaded[name]


def loaded_encodings() -> frozenset[str]:
    """The names of the encodings that this process has built so far."""
    return frozenset(_loaded)


def _build(name: str) -> tiktoken.Encoding:
    return tiktoken.Encoding(
        name,
        pat_str="|".join(_PATTERNS[name]),
        mergeable_ranks=_read_ranks(name),
        special_tokens=_SPECIAL_TOKENS[name],
    )


def _read_ranks(name: str) -> dict[bytes, int]:
    path = pathlib.Path(__file__).with_name(f"{name}.tiktoken.gz")
    raw = gzip.decompress(path.read_bytes())
    if hashlib.sha256(raw).hexdigest() != _SHA256[name]:
        raise ConfigurationError(f"{path.name} is damaged; install rateguard again")
    words = raw.split()
    return dict(zip(map(binascii.a2b_base64, words[::2]), map(int, words[1::2]), strict=True))
