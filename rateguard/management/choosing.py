"""How a model chooses, out of a command line: its strategy, regions, weights, overflow, fallbacks."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.engine.routing.contract import Strategy
from rateguard.management.verbs import yes_or_no
from tenants.routing import FALLBACK_KINDS

NONE = "none"
"""Instead of a list: an empty one."""
_PLAIN = ("strategy", "max_fallbacks", "is_sticky", "hedges")
_LISTS = {"region": "regions", "weight": "weights", "after_ms": "after_ms", "fallback": "fallbacks"}
OPTIONS = (*_PLAIN, *_LISTS)


def add_choosing(parser: CommandParser) -> None:
    """The options."""
    parser.add_argument("--strategy", choices=[one.value for one in Strategy], help="ordered by default")
    parser.add_argument("--region", action="append", metavar="NAME", help="preferred; repeat it, the best first; none: no region is")
    parser.add_argument("--weight", action="append", type=_figure, metavar="DEPLOYMENT=N", help="in this model; none: each has its own")
    wait = "it takes only work that has waited for so long; none: all take work at once"
    parser.add_argument("--after-ms", action="append", type=_figure, metavar="DEPLOYMENT=MS", help=wait)
    where = (
        f"after an error of this kind ask another model; kinds: {', '.join(FALLBACK_KINDS)}; repeat it, the first one first; none: no model"
    )
    parser.add_argument("--fallback", action="append", type=_pair, metavar="KIND=MODEL", help=where)
    parser.add_argument("--max-fallbacks", type=int, metavar="N", help="a job goes to so many other models at most; 2 by default")
    sticky = "yes: work of one session stays at one deployment"
    parser.add_argument("--is-sticky", type=yes_or_no, metavar="YES|NO", help=sticky)
    parser.add_argument("--hedges", type=yes_or_no, metavar="YES|NO", help="yes: in the critical lane a second call follows a slow one")


def choosing(options: dict[str, Any]) -> dict[str, Any]:
    """What was said, as changes take it. Raises CommandError."""
    found = {name: options[name] for name in _PLAIN if options[name] is not None}
    for option, field in _LISTS.items():
        if options[option] is not None:
            found[field] = _listed(option, options[option])
    return found


def _listed(option: str, given: list[Any]) -> Any:
    is_text = option == "region"
    if NONE in given:
        if given != [NONE]:
            raise CommandError(f"--{option.replace('_', '-')} none stands alone")
        given = []
    if is_text:
        return given
    return [{"on": kind, "to": model} for kind, model in given] if option == "fallback" else dict(given)


def _pair(text: str) -> Any:
    if text == NONE:
        return NONE
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError("write it like context_too_long=large")
    return name, value


def _figure(text: str) -> Any:
    if text == NONE:
        return NONE
    name, equals, value = text.partition("=")
    if not (name and equals and value.isdecimal()):
        raise argparse.ArgumentTypeError("write it like mini-eu=3")
    return name, int(value)
