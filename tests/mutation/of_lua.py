"""Where Lua can be changed, found by its tokens; a statement that can be dropped is a whole line."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import re
from collections.abc import Iterator

from tests.mutation.mutant import BOOLEANS, EXTREMES, Change, Place, off_by_one

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "~=", "~=": "=="}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "+", "^": "*"}

_TOKEN = re.compile(
    r"""(?P<comment>--\[\[.*?\]\]|--[^\n]*)
    |(?P<text>\[\[.*?\]\]|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")
    |(?P<number>0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^\#<>=(){}\[\];:,.])
    |(?P<space>\s+)""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset(
    "and break do else elseif end false for function if in local nil not or repeat return then true until while".split()  # noqa: SIM905
)
_OPENS, _CLOSES = frozenset("([{"), frozenset(")]}")


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text that means something."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Behind its last character."""
        return self.start + len(self.text)

    @property
    def is_value(self) -> bool:
        """Whether an operator may follow: else a minus is a sign."""
        if self.kind == "name":
            return self.text not in _KEYWORDS or self.text in {"true", "false", "nil", "end"}
        return self.kind in {"number", "text"} or self.text in _CLOSES or self.text == "..."


def tokens_of(text: str) -> list[Token]:
    """All tokens but comments and blanks. Raises ValueError at a character that no token begins with."""
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"no token of Lua at {text[at : at + 20]!r}")
        kind = str(found.lastgroup)
        if kind not in {"comment", "space"}:
            tokens.append(Token(kind, found.group(), at))
        at = found.end()
    return tokens


def places_of(text: str) -> list[Place]:
    """All places of a file, in the order of the text."""
    tokens = tokens_of(text)
    places = [*_tokens_to_change(tokens), *_lines_to_drop(text, tokens)]
    return sorted(places, key=lambda place: (place.start, place.end))


def _tokens_to_change(tokens: list[Token]) -> Iterator[Place]:
    none = Token("sign", ";", 0)
    for before, token, after in zip([none, *tokens], tokens, [*tokens[1:], none], strict=False):
        word = token.text
        if token.kind == "sign" and word in COMPARISONS:
            yield Place(Change.COMPARISON, token.start, token.end, (COMPARISONS[word],))
        elif token.kind == "sign" and word in ARITHMETIC and before.is_value:
            yield Place(Change.ARITHMETIC, token.start, token.end, (ARITHMETIC[word],))
        elif token.kind == "number" and (afters := off_by_one(word)):
            yield Place(Change.CONSTANT, token.start, token.end, afters)
        elif token.kind == "name" and word in BOOLEANS:
            yield Place(Change.BOOLEAN, token.start, token.end, (BOOLEANS[word],))
        elif token.kind == "name" and word == "not":
            yield Place(Change.BOOLEAN, token.start, after.start, ("",))
        elif token.kind == "name" and word in EXTREMES and before.text == ".":
            yield Place(Change.EXTREME, token.start, token.end, (EXTREMES[word],))


def _lines_to_drop(text: str, tokens: list[Token]) -> Iterator[Place]:
    """Lines that are a call or an assignment, and nothing else."""
    ends = list(itertools.accumulate(map(len, text.splitlines(keepends=True))))
    depth = 0
    for _, line in itertools.groupby(tokens, key=lambda token: bisect.bisect_right(ends, token.start)):
        words = list(line)
        is_inside, depth = depth > 0, depth + sum(map(_deeper, words))
        if not is_inside and depth == 0 and _is_statement(words):
            yield Place(Change.STATEMENT, words[0].start, words[-1].end, ("",))


def _deeper(token: Token) -> int:
    return (token.text in _OPENS) - (token.text in _CLOSES) if token.kind == "sign" else 0


def _is_statement(words: list[Token]) -> bool:
    first, last = words[0], words[-1]
    if first.kind != "name" or first.text in _KEYWORDS or not last.is_value or last.text == "end":
        return False
    return last.text == ")" or any(word.text == "=" for word in words)
