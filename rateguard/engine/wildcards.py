"""Names with a `*` at their end: one stands for every model that begins like it. `openrouter/anthropic/*` covers `openrouter/anthropic/x`.

Text in, text out: the rows, the directory and the keys' rules read them alike.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

STAR = "*"
END = "/*"

_REST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]*(/[A-Za-z0-9][A-Za-z0-9._:+-]*)*")
"""What a `*` may stand for: no piece of a path that leads up or nowhere, because a provider may put it into an address."""


def is_pattern(name: str) -> bool:
    """Whether a name stands for many."""
    return name.endswith(END)


def covers(pattern: str, name: str) -> bool:
    """Whether a pattern stands for a name, or for all that a narrower pattern does.

    >>> covers("openrouter/*", "openrouter/x"), covers("openrouter/*", "openrouter/x/*"), covers("openrouter/x/*", "openrouter/*")
    (True, True, False)
    """
    begins = pattern.removesuffix(STAR)
    return is_pattern(pattern) and name.startswith(begins) and len(name) > len(begins)


def rest_of(pattern: str, name: str) -> str | None:
    """What the `*` stands for in a name; None where the pattern does not stand for it, or the rest is none that a provider may get.

    >>> rest_of("openrouter/*", "openrouter/anthropic/claude-sonnet-4.5"), rest_of("openrouter/*", "openrouter/../secret")
    ('anthropic/claude-sonnet-4.5', None)
    """
    rest = name.removeprefix(pattern.removesuffix(STAR))
    return rest if covers(pattern, name) and _REST.fullmatch(rest) else None


def longest(patterns: Iterable[str], name: str) -> str | None:
    """The pattern that says most of a name; None where none stands for it."""
    return max((one for one in patterns if rest_of(one, name) is not None), key=len, default=None)


def filled(text: str, rest: str) -> str:
    """A provider's name of a model with its `*` replaced.

    >>> filled("anthropic/*", "claude-sonnet-4.5")
    'anthropic/claude-sonnet-4.5'
    """
    return text.replace(STAR, rest, 1)


def is_allowed(rules: Collection[str], name: str) -> bool:
    """Whether a list of names and patterns holds a name or a pattern, or something that stands for it."""
    return name in rules or any(covers(rule, name) for rule in rules)
