"""A middleware that refuses what is too large, by bytes and by messages, before anything is counted, stored or sent.

# mine/middleware.py
small = SizeGuard(request_bytes=100_000, messages=50)

RATEGUARD = {"MIDDLEWARE": ["mine.middleware.small"]}
"""

from __future__ import annotations

import orjson

from rateguard.engine.errors import ConfigurationError
from rateguard.screening.contract import Body, Context, Refused


class SizeGuard:
    """request_bytes: of a request as JSON. messages: of a request, None for any number. answer_bytes: of an answer, None for any size."""

    def __init__(self, request_bytes: int = 1_000_000, *, messages: int | None = None, answer_bytes: int | None = None) -> None:
        if any(most is not None and most < 1 for most in (request_bytes, messages, answer_bytes)):
            raise ConfigurationError("SizeGuard takes whole numbers from 1")
        self._request_bytes = request_bytes
        self._messages = messages
        self._answer_bytes = answer_bytes

    def before(self, request: Body, context: Context) -> None:
        """Refuse a large request."""
        count = len(orjson.dumps(request))
        if count > self._request_bytes:
            raise Refused(f"the request has {count:,} bytes, and {self._request_bytes:,} may be: make it shorter")
        said = request.get("messages")
        if self._messages is not None and isinstance(said, list) and len(said) > self._messages:
            raise Refused(f"there are {len(said):,} messages, and {self._messages:,} may be: leave earlier ones out", pointer="/messages")

    def after(self, answer: Body, request: Body, context: Context) -> None:
        """Refuse a large answer."""
        if self._answer_bytes is not None and (count := len(orjson.dumps(answer))) > self._answer_bytes:
            raise Refused(f"the answer has {count:,} bytes, and {self._answer_bytes:,} may be: ask for a shorter one")
