"""What people type to find a row: an id, or its beginning. Nothing is looked for inside texts."""

from __future__ import annotations

import re
import uuid

LEAST_DIGITS, DIGITS = 8, 32
MOST_CHARS = 255
_HEX = re.compile(r"[0-9a-fA-F]+")


def typed(text: str) -> str:
    """What was typed, without what no row holds."""
    return text.strip().replace("\0", "")[:MOST_CHARS]


def ids_from(text: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """The first and the last id that begin so, dashes or not; None for what begins no id, or is too short to search by.

    >>> ids_from("01936f2e-5c1a")[0]
    UUID('01936f2e-5c1a-0000-0000-000000000000')
    """
    digits = text.replace("-", "")
    if not LEAST_DIGITS <= len(digits) <= DIGITS or not _HEX.fullmatch(digits):
        return None
    return uuid.UUID(digits.ljust(DIGITS, "0")), uuid.UUID(digits.ljust(DIGITS, "f"))
