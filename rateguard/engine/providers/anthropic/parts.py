"""Parts of a message in OpenAI's shape → Anthropic's blocks: text, images, documents.

A block of text must hold something else than white space; white space between two texts is put to the end of the first. Images come as data
URLs or are fetched by Anthropic from http(s). `cache_control` of a part goes with its block.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from rateguard.engine.providers.anthropic.refusals import malformed, unsupported

Block = dict[str, Any]

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF = "application/pdf"


def blocks_of(content: Any, pointer: str) -> list[Block]:
    """The blocks of a message's content: a text, or a list of parts. Raises InvalidRequest."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content and not content.isspace() else []
    if not isinstance(content, list):
        raise malformed("content is a text or a list of parts", pointer)
    blocks: list[Block] = []
    for number, part in enumerate(content):
        _add(blocks, part, f"{pointer}/{number}")
    return blocks


def texts_of(content: Any, pointer: str, where: str) -> list[Block]:
    """The same where there may be text alone. Raises InvalidRequest."""
    blocks = blocks_of(content, pointer)
    if any(block["type"] != "text" for block in blocks):
        raise unsupported(f"takes text alone in {where}", pointer)
    return blocks


def with_cache_control(blocks: list[Block], holder: Mapping[str, Any], pointer: str) -> list[Block]:
    """Put the mark of a whole message on its last block. Raises InvalidRequest."""
    mark = _cache_control(holder, pointer)
    if mark is not None and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": mark}
    return blocks


def cache_control_of(holder: Mapping[str, Any], pointer: str) -> Block:
    """`{"cache_control": …}` where there is one. Raises InvalidRequest."""
    mark = _cache_control(holder, pointer)
    return {} if mark is None else {"cache_control": mark}


def _cache_control(holder: Mapping[str, Any], pointer: str) -> Any:
    mark = holder.get("cache_control")
    if mark is not None and not isinstance(mark, Mapping):
        raise malformed('cache_control is an object, like {"type": "ephemeral"}', f"{pointer}/cache_control")
    return mark


def _add(blocks: list[Block], part: Any, pointer: str) -> None:
    if not isinstance(part, Mapping):
        raise malformed("a part is an object", pointer)
    write = _BY_TYPE.get(str(part.get("type")))
    if write is None:
        raise unsupported("knows no such part; it has text, image_url and file", f"{pointer}/type")
    block = write(part, pointer)
    if block["type"] == "text" and not block["text"].strip():
        if blocks and blocks[-1]["type"] == "text":
            blocks[-1]["text"] += block["text"]
        return
    block.update(cache_control_of(part, pointer))
    blocks.append(block)


def _text(part: Mapping[str, Any], pointer: str) -> Block:
    field = str(part["type"])
    text = part.get(field)
    if not isinstance(text, str):
        raise malformed("a part of text has a text", f"{pointer}/{field}")
    return {"type": "text", "text": text}


def _image(part: Mapping[str, Any], pointer: str) -> Block:
    image = part.get("image_url")
    url, detail = (image.get("url"), image.get("detail")) if isinstance(image, Mapping) else (image, None)
    if detail not in (None, "auto", "high"):
        raise unsupported("looks at an image in one way: leave detail out", f"{pointer}/image_url/detail")
    return _image_from(url, f"{pointer}/image_url/url")


def _image_from(url: Any, pointer: str) -> Block:
    if _is_web(url):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _data_url(url, pointer)
    if media_type not in _IMAGES:
        raise unsupported("takes images as JPEG, PNG, GIF or WebP", pointer)
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _file(part: Mapping[str, Any], pointer: str) -> Block:
    file = part.get("file")
    if not isinstance(file, Mapping):
        raise malformed("a part of type file has an object file", f"{pointer}/file")
    block = _document(file, pointer)
    if block["type"] == "document" and isinstance(file.get("filename"), str):
        block["title"] = file["filename"]
    return block


def _document(file: Mapping[str, Any], pointer: str) -> Block:
    if isinstance(file.get("file_id"), str):  # of Anthropic's Files API
        return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}}
    data_pointer = f"{pointer}/file/file_data"
    if _is_web(file.get("file_data")):
        return {"type": "document", "source": {"type": "url", "url": file["file_data"]}}
    media_type, data = _data_url(file.get("file_data"), data_pointer)
    if media_type in _IMAGES:
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    if media_type == _PDF:
        return {"type": "document", "source": {"type": "base64", "media_type": _PDF, "data": data}}
    if media_type == "text/plain":
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": _decoded(data, data_pointer)}}
    raise unsupported("takes files as PDF, plain text or images", data_pointer)


def _decoded(data: str, pointer: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise malformed("the file is not text in UTF-8, as base64", pointer) from None


def _is_web(url: Any) -> bool:
    return isinstance(url, str) and url.startswith(("https://", "http://"))


def _data_url(url: Any, pointer: str) -> tuple[str, str]:
    """The media type and the base64 of `data:image/png;base64,…`."""
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not comma or not data or not head.startswith("data:") or not head.endswith(";base64"):
        raise malformed("write it as data:<media type>;base64,<data>, or as a web address", pointer)
    return head[len("data:") : -len(";base64")].partition(";")[0].lower(), data


_BY_TYPE: Mapping[str, Callable[[Mapping[str, Any], str], Block]] = {
    "text": _text,
    "refusal": _text,
    "image_url": _image,
    "file": _file,
}
