"""Names that people give: what they may look like, so that an address, a path and a limit's text can hold them."""

from __future__ import annotations

import re

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.wildcards import is_pattern

_PUBLIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]*((?<=/)\*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_name(name: object, pointer: str = "/name") -> None:
    """Raise InvalidRequest for a name that could be taken for a row's number. What else is wrong with it, the row's field says."""
    if isinstance(name, str) and name.isdecimal():
        raise InvalidRequest("a name is not a number alone: rows have numbers too", code="invalid_field", pointer=pointer)


def check_public_name(name: str, pointer: str = "/name") -> None:
    """Raise InvalidRequest for what cannot be the name of a model that callers use."""
    check_name(name, pointer)
    if not _PUBLIC.fullmatch(name):
        said = "a model's name is letters, digits and . _ : / + - after the first; one that stands for many ends in /*"
        raise InvalidRequest(said, code="invalid_field", pointer=pointer)


def check_one_model(name: str, pointer: str, what: str) -> None:
    """Raise InvalidRequest for a wildcard where one model has to be named. what: such as `a model falls back to`."""
    if is_pattern(name):
        raise InvalidRequest(f"{what} one model, and {name!r} stands for many: name one of them", code="invalid_field", pointer=pointer)


def check_text(text: object, pointer: str, most: int = 128) -> None:
    """Raise InvalidRequest for what is no readable text of 1 to `most` characters."""
    if not isinstance(text, str) or not 1 <= len(text) <= most:
        raise InvalidRequest(f"write a text of 1 to {most} characters", code="invalid_field", pointer=pointer)
    if _CONTROL.search(text) or text != text.strip():
        raise InvalidRequest("write it without line breaks, tabs or spaces at its ends", code="invalid_field", pointer=pointer)
