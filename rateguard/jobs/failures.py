"""What failed alike: failures with the same fingerprint are one line where failures are counted.

A fingerprint is made of the error's code and its message without what differs from job to job: ids, numbers, quoted texts, addresses.
"""

from __future__ import annotations

import functools
import hashlib
import re

CHARS = 16
READ_CHARS = 500
"""So much of a message counts: what stands after it is mostly somebody's text."""

_VARYING = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}"  # a UUID
    r"|https?://\S+"
    r"|\"[^\"]*\"|'[^']*'|`[^`]*`|“[^”]*”"
    r"|\b(?=[\w-]*\d)[\w-]{12,}\b"  # an id of a request, of a key, of a host
    r"|\d+(?:[.,:]\d+)*"
)


@functools.lru_cache(maxsize=1_024)
def fingerprint_of(code: str, message: str) -> str:
    """Sixteen hexadecimal digits; "" where there is no error."""
    if not code:
        return ""
    return hashlib.sha256(f"{code}\n{_VARYING.sub('#', message[:READ_CHARS])}".encode()).hexdigest()[:CHARS]
