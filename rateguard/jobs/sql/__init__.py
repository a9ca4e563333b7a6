"""The hot statements (claim, settle) and the large one of a rebuild, one file a database, the same names in the same order.

A statement takes its rows as one JSON array, so a batch is one parameter and one round trip. On PostgreSQL it is one
with data-modifying CTEs behind its fence. SQLite has none: there the first part is the fence, and the rest take only what it returned.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

_HERE = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PART = re.compile(r"^-- part$", re.MULTILINE)


@functools.cache
def statements(vendor: str) -> dict[str, tuple[str, ...]]:
    """The statements of a vendor ("postgresql", "sqlite"): name → parts in order."""
    text = (_HERE / f"{vendor}.sql").read_text(encoding="utf-8")
    pieces = _NAME.split(text)[1:]
    return {name: tuple(part.strip() for part in _PART.split(body)) for name, body in zip(pieces[::2], pieces[1::2], strict=True)}
