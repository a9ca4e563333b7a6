"""`--options`: what else a provider has to know of an account or a deployment."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import CommandParser


def add_options(parser: CommandParser) -> None:
    """`--options JSON`; a change names all of them."""
    parser.add_argument(
        "--options", type=_object, metavar="JSON", help='what its provider has to know beside: {"api_version": "2024-10-21"}; see its page'
    )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError('write a JSON object, like \'{"api_version": "2024-10-21"}\'')
    return found
