"""What parts of a message cost that are no text: images, sounds, files."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from rateguard.engine.tokens.families import Family
from rateguard.engine.tokens.images import UNKNOWN_TOKENS, size_of, tokens_of

PAGE_TEXT_TOKENS = 1_500
"""The text of a page of a PDF, beside the image that it is seen as: a usual figure, not verified."""
FILE_PAGES = 10
"""Pages of a file that is not in the request itself."""
PAGE_BYTES = 100_000
"""Of a PDF that does not tell its pages."""
MOST_LOOKED_AT = 8_000_000
"""Characters of base64."""
SOUND_BYTES_S = 8_000
"""A second of compressed sound: 64 kbit, and rather less than most, so that there are more seconds."""
LEAST_SOUND_S = 1

_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")


def tokens_of_part(part: Mapping[str, object], family: Family, model: str) -> int:
    """The tokens of a part of a message in OpenAI's shape that is no text."""
    match part.get("type"):
        case "image_url" | "input_image":
            return _image(part, family, model)
        case "input_audio":
            return _sound(part.get("input_audio"), family)
        case "file" | "input_file":
            inner = part.get("file")
            return _file(inner if isinstance(inner, Mapping) else part, family, model)
        case _:
            return UNKNOWN_TOKENS


def _image(part: Mapping[str, object], family: Family, model: str) -> int:
    inner = part.get("image_url")
    told = inner if isinstance(inner, Mapping) else {"url": inner, "detail": part.get("detail")}
    url, detail = told.get("url"), told.get("detail")
    size = size_of(url) if isinstance(url, str) else None
    return tokens_of(family.images, model, size, detail if isinstance(detail, str) else "auto")


def _sound(told: object, family: Family) -> int:
    data = told.get("data") if isinstance(told, Mapping) else None
    if not isinstance(data, str):
        return UNKNOWN_TOKENS
    seconds = max(LEAST_SOUND_S, -(-len(data) * 3 // 4 // _bytes_a_second(data)))
    return seconds * family.audio_tokens_s


def _bytes_a_second(data: str) -> int:
    """By a WAV's own header, else as compressed sound."""
    head = _decoded(data[:64])
    if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt ":
        return int.from_bytes(head[28:32], "little") or SOUND_BYTES_S
    return SOUND_BYTES_S


def _file(told: Mapping[str, object], family: Family, model: str) -> int:
    data = told.get("file_data")
    pages = _pages(data) if isinstance(data, str) else FILE_PAGES
    text = -(-PAGE_TEXT_TOKENS * family.latin_permille // 1_000)
    return pages * (text + tokens_of(family.images, model, _PAGE_SIZE, "high"))


_PAGE_SIZE = (1_240, 1_754)
"""A page of A4 at 150 dots an inch."""


def _pages(data: str) -> int:
    content = _decoded((data.partition(",")[2] if data.startswith("data:") else data)[:MOST_LOOKED_AT])
    return max(len(_PAGE.findall(content)), -(-len(content) // PAGE_BYTES) if b"/ObjStm" in content or not content else 1)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""
