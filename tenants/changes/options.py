"""Options of accounts and deployments: what else a provider has to know, in the words of its page in the docs. No secrets."""

from __future__ import annotations

import re
from typing import Any

import orjson

MOST_BYTES = 4_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SECRET = re.compile(r"(.*_)?(api_?key|secret|secret_key|password|credentials|(access|auth|bearer|session)_token)|token", re.IGNORECASE)


def wrong_with_options(options: Any) -> str:
    """What is wrong with them, "" for nothing. What each means, and whether there is such a one, its provider knows."""
    if not isinstance(options, dict):
        return 'options are a JSON object, like {"api_version": "2024-10-21"}'
    for name in options:
        if not _NAME.fullmatch(name):
            return f"the name of an option has letters, digits and _, and begins with a letter: not {name[:64]!r}"
        if _SECRET.fullmatch(name):
            return f"{name} looks like a secret: options are shown, secrets go into credentials"
    return "" if len(orjson.dumps(options)) <= MOST_BYTES else f"options have at most {MOST_BYTES:,} bytes as JSON"
