"""The parts of a message as Converse's content blocks: text, images, documents, and the marks behind which the prompt cache begins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.bedrock.models import Model
from rateguard.engine.providers.bedrock.refusal import malformed, unsupported

Block = dict[str, Any]

_DATA_URL = re.compile(r"^data:(?P<mime>[\w.+-]+/[\w.+-]+)(?:;[\w-]+=[^;,]*)*;base64,(?P<data>[A-Za-z0-9+/=_-]+)$")
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")
_SPACES = re.compile(r"\s+")
_MOST_NAME_CHARS = 200
_TTLS = frozenset({None, "5m", "1h"})


def blocks_of(content: Any, pointer: str, model: Model) -> list[Block]:
    """The blocks of a message's content; blank text makes none, for Bedrock refuses it. Raises InvalidRequest."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content.strip() else []
    if not isinstance(content, list):
        raise malformed("a message's content is text or a list of parts", f"{pointer}/content")
    blocks: list[Block] = []
    for number, part in enumerate(content):
        blocks += _blocks_of_part(part, f"{pointer}/content/{number}", model)
    return blocks


def _blocks_of_part(part: Any, pointer: str, model: Model) -> list[Block]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text":
        text = str(part.get("text") or "")
        blocks: list[Block] = [{"text": text}] if text.strip() else []
    elif kind == "refusal":
        blocks = [{"text": str(part.get("refusal") or "")}]
    elif kind == "image_url":
        blocks = [_image(part.get("image_url"), f"{pointer}/image_url")]
    elif kind == "file":
        blocks = [_document(part.get("file"), f"{pointer}/file")]
    else:
        raise unsupported(f"bedrock has no part of type {kind!r}; it has text, image_url and file", pointer)
    return blocks + cache_point(part, pointer, model)


def cache_point(marked: Mapping[str, Any], pointer: str, model: Model) -> list[Block]:
    """What stands behind a part or tool that has `cache_control` (Anthropic's form): all before it may be kept. Raises InvalidRequest."""
    control = marked.get("cache_control")
    if control is None:
        return []
    pointer = f"{pointer}/cache_control"
    if not model.caches:
        raise unsupported("this model of bedrock has no prompt cache", pointer)
    if not isinstance(control, Mapping) or control.get("type") != "ephemeral" or control.get("ttl") not in _TTLS:
        raise unsupported('write {"type": "ephemeral"}, with "ttl": "5m" or "1h" if you like', pointer)
    ttl = control.get("ttl")
    return [{"cachePoint": {"type": "default", "ttl": ttl} if ttl else {"type": "default"}}]


def _image(image: Any, pointer: str) -> Block:
    url = image.get("url") if isinstance(image, Mapping) else image
    if isinstance(image, Mapping) and image.get("detail") not in {None, "auto"}:
        raise unsupported("bedrock cannot be told in what detail to look", f"{pointer}/detail")
    if isinstance(url, str) and url.startswith("s3://"):
        return {"image": {"format": _format_by_name(url, _IMAGES, "image/", pointer), "source": {"s3Location": {"uri": url}}}}
    found = _DATA_URL.match(url) if isinstance(url, str) else None
    if found is None or found["mime"] not in _IMAGES:
        raise unsupported("bedrock fetches no image: send a PNG, JPEG, GIF or WebP as data:image/png;base64,… or an s3:// address", pointer)
    return {"image": {"format": _IMAGES[found["mime"]], "source": {"bytes": found["data"]}}}


def _format_by_name(url: str, formats: Mapping[str, str], family: str, pointer: str) -> str:
    ending = url.rsplit(".", 1)[-1].lower()
    if (kind := formats.get(family + ending)) is None:
        raise unsupported(f"the name must end in one of {', '.join(sorted(set(formats.values())))}", pointer)
    return kind


def _document(file: Any, pointer: str) -> Block:
    """A document by its bytes. Bedrock takes only some characters in its name, which the model sees."""
    if not isinstance(file, Mapping) or not isinstance(file.get("file_data"), str):
        raise unsupported("bedrock keeps no files: send the document itself as file_data, data:application/pdf;base64,…", pointer)
    found = _DATA_URL.match(file["file_data"])
    filename = str(file.get("filename") or "")
    stem, _, ending = filename.rpartition(".")
    kind = _DOCUMENTS.get(found["mime"]) if found else None
    if kind is None and ending.lower() in _DOCUMENTS.values():
        kind = ending.lower()
    if found is None or kind is None:
        raise unsupported(f"bedrock reads documents of these kinds: {', '.join(sorted(_DOCUMENTS.values()))}", f"{pointer}/file_data")
    name = _SPACES.sub(" ", _NOT_IN_NAMES.sub(" ", stem or filename)).strip()[:_MOST_NAME_CHARS] or "document"
    return {"document": {"format": kind, "name": name, "source": {"bytes": found["data"]}}}
