"""What an image costs in tokens, by its size and its model's rule; the size is read from the first bytes of a data URL.

The rules are second-hand (a price library's code); those of models that came after it are taken to be as their predecessors'.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Mapping

UNKNOWN_TOKENS = 1_600
"""Reserved for an image whose size or rule nobody told us."""

Size = tuple[int, int]
"""Width and height, in pixels."""

_LOOKS = (4_096, 1_048_576)
"""So many characters of base64 are looked at: a JPEG may have its size behind a picture of itself."""
_SIDE = 65_535


def size_of(url: str) -> Size | None:
    """The size of an image in a data URL; None for any other address, and for what is none of PNG, JPEG, GIF and WebP."""
    head, comma, _ = url[:128].partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    start = len(head) + 1
    for chars in _LOOKS:
        found = _size_in(_decoded(url[start : start + chars]))
        if found or len(url) - start <= chars:
            return found
    return None


def _decoded(text: str) -> bytes:
    plain = "".join(text.split())
    try:
        return base64.b64decode(plain[: len(plain) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _size_in(data: bytes) -> Size | None:
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _checked(*struct.unpack(">II", data[16:24]))
        if data[:6] in {b"GIF87a", b"GIF89a"}:
            return _checked(*struct.unpack("<HH", data[6:10]))
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):
        return None
    return None


def _checked(width: int, height: int) -> Size | None:
    return (width, height) if 0 < width <= _SIDE and 0 < height <= _SIDE else None


def _jpeg(data: bytes) -> Size | None:
    """Segment by segment to the frame's header."""
    at = 2
    while data[at] == 0xFF:
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return _checked(width, height)
        at += 1 if kind == 0xFF else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return _checked(1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little"))
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return _checked(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return _checked(width & 0x3FFF, height & 0x3FFF)
    return None


# ---- the rules


def tokens_of(rule: str, model: str, size: Size | None, detail: str = "auto") -> int:
    """What an image costs. rule: the family's; detail: OpenAI's `low`, `high`, `original` or `auto`."""
    count = RULES.get(rule)
    return UNKNOWN_TOKENS if count is None else count(model.lower(), size, detail)


_TILES = (
    ("gpt-4o-mini", 2_833, 5_667),
    ("gpt-4o", 85, 170),
    ("gpt-4.1-mini", 0, 0),  # patches
    ("gpt-4.1-nano", 0, 0),  # patches
    ("gpt-4.1", 85, 170),
    ("gpt-5.1", 70, 140),
    ("o1", 75, 150),
    ("o3", 75, 150),
)
_PLAIN_5 = re.compile(r"gpt-5(?![.\d])")
_PATCH_PERMILLE = {"gpt-4.1-mini": 1_620, "gpt-4.1-nano": 2_460}
"""The nano's factor: not verified."""


def _openai(model: str, size: Size | None, detail: str) -> int:
    tiles = next(((base, tile) for name, base, tile in _TILES if name in model), (70, 140) if _PLAIN_5.search(model) else (0, 0))
    if tiles[0]:
        return _in_tiles(*tiles, size, detail)
    if size is None:
        return UNKNOWN_TOKENS
    permille = next((found for name, found in _PATCH_PERMILLE.items() if name in model), 1_200)
    side, patches = _patch_bounds(model, detail)
    return -(-_in_patches(size, 32, side, patches) * permille // 1_000)


def _in_tiles(base: int, tile: int, size: Size | None, detail: str) -> int:
    if detail == "low":
        return base
    if size is None:
        return max(UNKNOWN_TOKENS, base + 4 * tile)
    scale = min(1.0, 2_048 / max(size))
    scale *= min(1.0, 768 / (min(size) * scale))
    return base + tile * math.prod(max(1, math.ceil(side * scale / 512)) for side in size)


def _patch_bounds(model: str, detail: str) -> tuple[int, int]:
    """The longest side, and the most patches."""
    if detail == "low":
        return (2_048, 6_144) if "gpt-5.4" in model else (512, 256)
    if detail == "high":
        return 2_048, 6_144 if "gpt-5.4" in model else 2_500
    is_newer = any(name in model for name in ("gpt-5.5", "gpt-5.6", "gpt-6"))
    return (6_000, 10_000) if is_newer or detail == "original" else (2_048, 6_144 if "gpt-5.4" in model else 2_500)


def _in_patches(size: Size, patch: int, longest: int, most: int) -> int:
    """Patches of an image that is shrunk to fit both bounds."""
    scale = min(1.0, longest / max(size))
    if math.prod(math.ceil(side * scale / patch) for side in size) > most:
        return most
    return math.prod(math.ceil(side * scale / patch) for side in size)


def _claude(_model: str, size: Size | None, _detail: str) -> int:
    return UNKNOWN_TOKENS if size is None else _in_patches(size, 28, 1_568, 1_568)


def _new_claude(_model: str, size: Size | None, _detail: str) -> int:
    return 4_784 if size is None else _in_patches(size, 28, 2_576, 4_784)


def _gemini(_model: str, size: Size | None, _detail: str) -> int:
    """258 tokens for a small image, else for each tile of 768 pixels. Gemini 3 goes by the resolution that is asked for: not verified."""
    if size is None:
        return UNKNOWN_TOKENS
    return 258 if max(size) <= 384 else 258 * math.prod(math.ceil(side / 768) for side in size)


RULES: Mapping[str, Callable[[str, Size | None, str], int]] = {
    "openai": _openai,
    "claude": _claude,
    "new_claude": _new_claude,
    "gemini": _gemini,
}
