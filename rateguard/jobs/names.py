"""Names of who is charged: short enough for a path and its limits, readable in a log."""

from __future__ import annotations

import re

from rateguard.engine.errors import InvalidRequest

MOST_NAME_CHARS = 128

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_name(value: object, pointer: str) -> None:
    """A name of who is charged: short enough for a path and its limits, readable in a log. Raises InvalidRequest: `invalid_field`."""
    if not isinstance(value, str) or len(value) > MOST_NAME_CHARS:
        raise InvalidRequest(f"a name is a text of at most {MOST_NAME_CHARS} characters", code="invalid_field", pointer=pointer)
    if _CONTROL.search(value):
        raise InvalidRequest("a name has no control characters, such as line breaks or tabs", code="invalid_field", pointer=pointer)
