"""Commands of several verbs, as `manage.py tenant create acme`: each verb has its arguments, its help and its method."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser, DjangoHelpFormatter

from rateguard.engine.errors import InvalidRequest
from rateguard.management.shell import ShellCommand, told_in_words, who
from tenants.changes.actor import Actor

JSON_HELP = "print one JSON object instead of words"
_CLEAR_ALREADY = {"bad_limit", "bad_budget", "not_found", "name_taken", "in_use"}
"""Refusals that say by themselves what they are about."""


class _Formatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's order of options, and examples as they were written."""


class VerbCommand(ShellCommand):
    """`verbs`: each verb with its help. The method `add_<verb>(parser)` adds what it takes, `do_<verb>(options)` does it.

    `examples` stands below the help of the command.
    """

    requires_system_checks = ("rateguard",)  # not the addresses of REST, which a shell does not need, and which take long to load
    verbs: dict[str, str] = {}  # noqa: RUF012 - each command says its own once, and nobody writes to it
    examples = ""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """With the examples."""
        epilog = f"examples:\n{self.examples}" if self.examples else None
        return super().create_parser(prog_name, subcommand, formatter_class=_Formatter, epilog=epilog, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """The verbs; --json may stand before or behind them."""
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
        for verb, told in self.verbs.items():
            one = verbs.add_parser(verb, help=told, description=told[0].upper() + told[1:], formatter_class=_Formatter)
            one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=JSON_HELP)
            self._method(f"add_{verb}")(one)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do what the verb says; what is wrong with it is told in words."""
        with told_in_words():
            try:
                self._method(f"do_{options['verb']}")(options)
            except InvalidRequest as error:
                raise CommandError(_with_option(error)) from None

    def _method(self, name: str) -> Callable[[Any], None]:
        found: Callable[[Any], None] = getattr(self, name)
        return found


def actor() -> Actor:
    """Whoever sits at this machine reaches everything, and stands in the audit by name."""
    return Actor(by=who())


def given(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """The options that were given, for a change: what was not named stays."""
    found = {name: options[name] for name in names if options[name] is not None}
    if not found:
        raise CommandError(f"say what to change: {', '.join('--' + name.replace('_', '-') for name in names)}")
    return found


def yes_or_no(text: str) -> bool:
    """`yes` or `no`."""
    if text.lower() not in {"yes", "no"}:
        raise argparse.ArgumentTypeError("write yes or no")
    return text.lower() == "yes"


def _with_option(error: InvalidRequest) -> str:
    """The refusal, with the option that it is about in front."""
    errors = getattr(error, "errors", None) or [(error.pointer, str(error))]
    if error.code in _CLEAR_ALREADY:
        return str(error)
    return "; ".join(f"{_option(pointer)}{told}" for pointer, told in errors)


def _option(pointer: str) -> str:
    name = pointer.removeprefix("/job").removeprefix("/").replace("_", "-")
    return f"{name}: " if name and "/" not in name else ""
