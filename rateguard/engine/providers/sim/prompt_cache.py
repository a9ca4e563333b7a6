"""Which prompts the simulated provider has seen before: prefixes by account and model, known for a time.

A prompt is a row of parts (tools, system, messages), each as bytes. How many tokens a prefix has is told by its share of the bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from rateguard.engine.providers.sim.config import Caching

_STEP_BYTES = 512
"""How finely a provider that caches by itself cuts a prompt: about 128 tokens, as OpenAI says."""
_STEP_TOKENS = 128
_MOST = 50_000
"""Prefixes that are remembered; then all are forgotten."""


SHORT, LONG = "short", "long"


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A part of a prompt. mark: it ends with the caller's mark, to be kept for the common time (SHORT) or for the long one (LONG)."""

    data: bytes
    mark: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Cached:
    """How many tokens of a prompt were read, and how many are written for the common time and for the long one."""

    read: int = 0
    written: int = 0
    written_long: int = 0
    keep: Sequence[tuple[bytes, int]] = ()


NOTHING = Cached()


class PromptCache:
    """What is known, by a digest of account, model and prefix, and until when (epoch ms)."""

    def __init__(self) -> None:
        self._until_ms: dict[bytes, float] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._until_ms.clear()

    def look(self, whose: str, prompt: bytes, tokens: int, rule: Caching, now_ms: float) -> Cached:
        """What a provider that caches by itself has of this prompt; it writes the rest."""
        if tokens < rule.least_tokens:
            return NOTHING
        digest = hashlib.blake2b(whose.encode(), digest_size=16)
        read_bytes, keep = 0, []
        for start in range(0, len(prompt) - _STEP_BYTES + 1, _STEP_BYTES):
            digest.update(prompt[start : start + _STEP_BYTES])
            name = digest.digest()
            keep.append((name, rule.ttl_ms))
            if self._knows(name, now_ms):
                read_bytes = start + _STEP_BYTES
        read = _in_steps(tokens * read_bytes // len(prompt))
        kept = _in_steps(tokens * len(keep) * _STEP_BYTES // len(prompt))
        read = read if read >= rule.least_tokens else 0
        return Cached(read, max(0, kept - read), 0, keep)

    def look_marked(self, whose: str, parts: Sequence[Part], tokens: int, rule: Caching, now_ms: float) -> Cached:
        """What a provider that caches where it is told to has of this prompt: it reads to the last part known, and writes to each mark."""
        last = max((place for place, part in enumerate(parts) if part.mark), default=-1)
        size = sum(len(part.data) for part in parts)
        digest = hashlib.blake2b(whose.encode(), digest_size=16)
        read, ends, keep, done = 0, [0, 0], [], 0
        for part in parts[: last + 1]:
            digest.update(part.data)
            done += len(part.data)
            reached = tokens * done // size
            if reached >= rule.least_tokens and self._knows(digest.digest(), now_ms):
                read = reached
            if reached >= rule.least_tokens and part.mark:
                keep.append((digest.digest(), rule.long_ttl_ms if part.mark == LONG else rule.ttl_ms))
                ends[part.mark == LONG] = reached
        long_end, end = max(ends[1], read), max(*ends, read)
        return Cached(read, end - long_end, long_end - read, keep)

    def keep(self, cached: Cached, now_ms: float) -> None:
        """The prompt was worked on: what was written is known from now on, and what was read for as long again."""
        if len(self._until_ms) > _MOST:
            self._until_ms.clear()
        for name, ms in cached.keep:
            self._until_ms[name] = max(self._until_ms.get(name, 0.0), now_ms + ms)

    def _knows(self, name: bytes, now_ms: float) -> bool:
        return self._until_ms.get(name, 0.0) > now_ms


def _in_steps(tokens: int) -> int:
    return tokens // _STEP_TOKENS * _STEP_TOKENS
