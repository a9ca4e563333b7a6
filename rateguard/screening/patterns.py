"""How personal data looks in a text: e-mail addresses, telephone and card numbers, IBANs. Pure; each pattern tries a bounded while."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping

EMAIL, PHONE, CARD, IBAN = "email", "phone", "card", "iban"

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d])")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])")
_PHONE = re.compile(
    r"(?<![\w+])(?<!\d[ -])(?:"
    r"(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,7}"  # with the country: +49 30 901820, 0044 20 7946 0000
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4}"  # as North America writes it: (212) 555-0123
    r"|0[1-9]\d{0,3}[ /-]\d{3,4}[ -]?\d{2,5}"  # within a country: 030 901820
    r")(?!\w)(?![ -]\d)"
)


def luhn_holds(digits: str) -> bool:
    """The check digit of cards (ISO/IEC 7812-1, annex B).

    >>> luhn_holds("4111111111111111"), luhn_holds("4111111111111112")
    (True, False)
    """
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0


def iban_holds(iban: str) -> bool:
    """The check digits of an IBAN (ISO 13616, mod 97).

    >>> iban_holds("DE89370400440532013000"), iban_holds("DE88370400440532013000")
    (True, False)
    """
    return 15 <= len(iban) <= 34 and int("".join(str(int(one, 36)) for one in iban[4:] + iban[:4])) % 97 == 1


def _digits(text: str) -> str:
    return "".join(one for one in text if one.isdigit())


def _phone_in(found: str) -> str:
    return found if 7 <= len(_digits(found)) <= 15 else ""


def _card_in(found: str) -> str:
    return found if len(set(_digits(found))) > 1 and luhn_holds(_digits(found)) else ""


def _iban_in(found: str) -> str:
    """A word in capitals may stand behind it, and look like its last group."""
    while found and not iban_holds(found.replace(" ", "")):
        found = found.rpartition(" ")[0]
    return found


KINDS: Mapping[str, tuple[re.Pattern[str], Callable[[str], str]]] = {
    IBAN: (_IBAN, _iban_in),
    CARD: (_CARD, _card_in),
    EMAIL: (_EMAIL, str),
    PHONE: (_PHONE, _phone_in),
}
"""By kind its form, and how much of what has that form is one, from its start; in the order in which they are looked for."""


def redacted(text: str, kinds: Iterable[str], written: str) -> str:
    """The text with what is found replaced.

    >>> redacted("Write to ada@example.org, or call +49 30 901820.", KINDS, "[{kind}]")
    'Write to [email], or call [phone].'
    """
    wanted = set(kinds)
    for kind, (pattern, part_of) in KINDS.items():
        if kind in wanted:
            text = pattern.sub(functools.partial(_put, written.format(kind=kind), part_of), text)
    return text


def _put(put: str, part_of: Callable[[str], str], found: re.Match[str]) -> str:
    part = part_of(found[0])
    return put + found[0][len(part) :] if part else found[0]
