"""`manage.py price`: what a provider's models cost."""

from __future__ import annotations

import argparse
import sys
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from django.core.management.base import CommandParser
from django.utils import timezone

from rateguard.api.manage.rendering import render_price
from rateguard.management.shell import moment
from rateguard.management.showing import columns, listed
from rateguard.management.verbs import VerbCommand, actor
from tenants.changes.prices import COLUMNS, change_price, create_price
from tenants.models import Price


class Command(VerbCommand):
    """Prices are dollars per million tokens; a new one is in force from its moment on, and what was charged stays."""

    help = "List or set the prices of providers' models."
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list prices, all or a provider's",
        "set": "set what a model costs from a moment on, now by default",
    }
    examples = """\
  manage.py price set --provider openai --model my-model --input 0.15 --output 0.60 --cached-input 0.03
  manage.py price set --provider openai --model my-model --input 2 --output 8 --parts '{"batch_input_usd": "1", "batch_output_usd": "4"}'
  manage.py price list --provider openai --model gpt-5.4-mini"""

    def add_list(self, parser: CommandParser) -> None:
        """Whose."""
        parser.add_argument("--provider", help="such as openai")
        parser.add_argument("--model", help="as the provider calls it")

    def do_list(self, options: dict[str, Any]) -> None:
        """By provider and model, the oldest first."""
        wanted = {name: options[name] for name in ("provider", "model") if options[name]}
        rows = [render_price(row) for row in Price.objects.filter(**wanted).order_by("provider", "model", "valid_from")]
        self.show(options, listed(rows), columns(rows, ("provider", "model", *COLUMNS, "valid_from"), "no such prices"))

    def add_set(self, parser: CommandParser) -> None:
        """Of what, how much, from when."""
        parser.add_argument("--provider", required=True, help="the account's provider, such as openai")
        parser.add_argument("--model", required=True, help="as the provider calls it")
        for name in COLUMNS:
            option = f"--{name.removesuffix('_usd').replace('_', '-')}"
            is_required = name in {"input_usd", "output_usd"}
            parser.add_argument(option, dest=name, type=_dollars, required=is_required, help="dollars per million tokens")
        parser.add_argument("--parts", type=_parts, help="tiers, long contexts, audio: JSON, or - to read it from standard input")
        parser.add_argument("--from", dest="valid_from", type=moment, help="a time with its zone; now by default")

    def do_set(self, options: dict[str, Any]) -> None:
        """A new price; one of the same moment is written over."""
        since = options["valid_from"] or timezone.now()
        dollars = {name: options[name] for name in (*COLUMNS, "parts") if options[name] is not None}
        found = Price.objects.filter(provider=options["provider"], model=options["model"], valid_from=since).first()
        if found:
            row = change_price(actor(), found, **dollars)
        else:
            row = create_price(actor(), provider=options["provider"], model=options["model"], valid_from=since, **dollars)
        values = render_price(row)
        told = f"{row.provider}/{row.model} costs ${values['input_usd']} and ${values['output_usd']} per million tokens"
        self.show(options, values, f"{told} from {values['valid_from']} on")


def _parts(text: str) -> Any:
    try:
        return orjson.loads(sys.stdin.read() if text == "-" else text)
    except orjson.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"it is no JSON: {error}") from None


def _dollars(text: str) -> Decimal:
    try:
        return Decimal(text.removeprefix("$"))
    except InvalidOperation:
        raise argparse.ArgumentTypeError("write dollars per million tokens, such as 0.15") from None
