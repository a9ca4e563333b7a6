"""Answers made of words that are one token each, so that a text of n words has exactly n tokens, in both encodings."""

from __future__ import annotations

import dataclasses
import hashlib

_TEXT = (
    "time year people way day man thing woman life child world school state family student group country problem hand part place "
    "case week company system program question work government number night point home water room mother area money story fact "
    "month lot right study book eye job word business issue side kind head house service friend father power hour game line end "
    "member law car city community name team minute idea kid body information back parent face others level office door health "
    "person art war history party result change reason research girl moment air teacher force education foot boy age policy music "
    "market sense nation plan college interest death experience effect use class control field development role rate heart drug "
    "show leader light voice wife mind price report decision son view relationship town road arm difference value building action "
    "season tax director position player record paper space ground form event official matter center site project activity star "
    "table need court oil half easy cost industry figure street image phone data picture practice piece land product doctor wall "
    "patient worker news test movie north love support technology"
)
_WORDS = tuple(_TEXT.split(" "))
_SHARE = float(2**32)


@dataclasses.dataclass(frozen=True, slots=True)
class Draw:
    """What chance decides about one request, from the seed and its body: three shares of [0, 1) and a place in the words."""

    output: float
    base: float
    pace: float
    place: int

    @classmethod
    def of(cls, seed: int, body: bytes) -> Draw:
        """The same seed and body always give the same draw."""
        digest = hashlib.blake2b(body, digest_size=16, key=str(seed).encode()).digest()
        output, base, pace, place = (int.from_bytes(digest[start : start + 4], "little") for start in (0, 4, 8, 12))
        return cls(output / _SHARE, base / _SHARE, pace / _SHARE, place)


def pick_words(place: int, count: int) -> list[str]:
    """`count` tokens, one a piece; all but the first begin with a blank. Joined they have exactly `count` tokens."""
    start = place % len(_WORDS)
    step = _WORDS[start:] + _WORDS[:start]
    words = [" " + word for word in (step * (count // len(step) + 1))[:count]]
    words[0] = words[0][1:]
    return words


def make_vector(seed: int, text: bytes, dimensions: int) -> list[float]:
    """A unit vector that depends on the seed and the text alone."""
    raw = hashlib.shake_128(str(seed).encode() + b"|" + text).digest(dimensions)
    values = [byte - 127.5 for byte in raw]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]
