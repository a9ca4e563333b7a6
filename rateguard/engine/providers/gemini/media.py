"""One part of a message's content as Gemini's part: text, an image, sound, a file.

Data URLs become inlineData, addresses fileData. Gemini wants to know the kind of a file behind an address; it is taken from `format`
beside the address, or guessed from the name's end. Sources: google-genai 3.4 (Part, Blob, FileData, PartMediaResolution).
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.gemini.refusals import invalid, refuse_cache_control, unsupported

_SOUNDS = {"wav": "audio/wav", "mp3": "audio/mp3"}
_DETAILS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}

Part = dict[str, Any]


def part_of(part: Any, pointer: str) -> Part | None:
    """What stands for it; None for a text that is empty, which Gemini refuses. Raises InvalidRequest."""
    if not isinstance(part, Mapping):
        raise invalid("a part of a content is an object", pointer)
    refuse_cache_control(part, pointer)
    kind = str(part.get("type"))
    if kind in {"text", "refusal"}:
        text = part.get(kind)
        return {"text": str(text)} if text else None
    if kind == "image_url":
        return _image(part.get("image_url"), f"{pointer}/image_url")
    if kind == "input_audio":
        return _sound(part.get("input_audio"), f"{pointer}/input_audio")
    if kind == "file":
        return _file(part.get("file"), f"{pointer}/file")
    raise unsupported(f"gemini has no part {kind!r}: it takes text, image_url, input_audio and file", f"{pointer}/type")


def _image(image: Any, pointer: str) -> Part:
    if not isinstance(image, Mapping) or not isinstance(image.get("url"), str):
        raise invalid("an image has a url", pointer)
    part = _from_url(image["url"], image.get("format"), f"{pointer}/url")
    detail = str(image.get("detail") or "auto")
    if detail in _DETAILS:
        part["mediaResolution"] = {"level": _DETAILS[detail]}
    elif detail != "auto":
        raise unsupported(f"gemini has no detail {detail!r} of an image: it has low and high", f"{pointer}/detail")
    return part


def _sound(sound: Any, pointer: str) -> Part:
    if not isinstance(sound, Mapping) or not isinstance(sound.get("data"), str):
        raise invalid("a sound has data, in base64", pointer)
    kind = str(sound.get("format"))
    return {"inlineData": {"mimeType": _SOUNDS.get(kind, f"audio/{kind}"), "data": sound["data"]}}


def _file(file: Any, pointer: str) -> Part:
    if not isinstance(file, Mapping):
        raise invalid("a file is an object", pointer)
    data, name, address = file.get("file_data"), file.get("filename"), file.get("file_id")
    if isinstance(data, str):
        if data.startswith("data:"):
            return _from_url(data, None, f"{pointer}/file_data")
        kind = file.get("format") or _guess(str(name or ""), f"{pointer}/filename")
        return {"inlineData": {"mimeType": kind, "data": data}}
    if isinstance(address, str) and "://" in address:
        return _from_url(address, file.get("format"), f"{pointer}/file_id")
    raise unsupported("gemini knows no files by such an id: give file_data, or the URI of a file as file_id", pointer)


def _from_url(url: str, told_kind: Any, pointer: str) -> Part:
    if not url.startswith("data:"):
        kind = told_kind or _guess(url.partition("?")[0], pointer)
        return {"fileData": {"mimeType": kind, "fileUri": url}}
    head, comma, data = url[5:].partition(",")
    kind, _, encoding = head.partition(";")
    if not comma or not kind or not encoding.endswith("base64"):
        raise invalid("a data URL has a type and base64: data:image/png;base64,…", pointer)
    return {"inlineData": {"mimeType": kind, "data": data}}


def _guess(name: str, pointer: str) -> str:
    kind = mimetypes.guess_type(name)[0]
    if kind is None:
        raise unsupported("gemini must be told what kind of file this is: put `format` (such as image/png) beside it", pointer)
    return kind
