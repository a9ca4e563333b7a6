"""A job to submit, out of a command line: a text, a file of OpenAI's shape, and how it is to be done."""

from __future__ import annotations

import argparse
import sys
import uuid
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import CommandError, CommandParser

from rateguard.conf import conf
from rateguard.engine.lanes import Lane
from rateguard.jobs.intake.bodies import endpoint_of
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.models import Delivery
from rateguard.management.finding import named
from rateguard.management.shell import moment
from tenants.models import ModelRoute, Tenant

_NAMED = ("user", "team", "rolegroup", "role", "cost_center")
USUAL_TENANT = "default"


def add_request(parser: CommandParser) -> None:
    """What is asked, and how it is to be done."""
    parser.add_argument("text", nargs="?", help="the question; - reads it from standard input")
    parser.add_argument("--body", metavar="FILE", help="the whole request instead, JSON in OpenAI's shape; - reads standard input")
    parser.add_argument("--model", help="the model; where there is one alone, that")
    parser.add_argument("--system", metavar="TEXT", help="a system message before the question")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="tokens that the answer may have")
    parser.add_argument("--embed", action="store_true", help="an embedding of the text instead of an answer")
    parser.add_argument("--tenant", help="who pays; DEFAULT_TENANT, else the tenant `default`, else the only one")
    parser.add_argument("--lane", choices=[lane.label for lane in Lane], help="normal by default")
    for name in _NAMED:
        parser.add_argument(f"--{name.replace('_', '-')}", default="", metavar="NAME", help="whom it is charged to")
    parser.add_argument("--label", action="append", default=[], type=_pair, metavar="KEY=VALUE", help="may be repeated")
    parser.add_argument("--run", type=uuid.UUID, metavar="ID", help="the run that it is charged to")
    parser.add_argument("--run-at", type=moment, metavar="TIME", help="not before, such as 2030-01-31T12:00:00Z")
    parser.add_argument("--deadline", type=moment, metavar="TIME", help="expired if it has not begun by then")
    parser.add_argument("--max-tries", type=int, metavar="N")
    parser.add_argument("--timeout", type=int, metavar="SECONDS", help="of the call at the provider")
    parser.add_argument("--delivery", choices=Delivery.values, default=Delivery.AT_LEAST_ONCE.value)
    parser.add_argument("--session", default="", metavar="TEXT", help="what belongs together, for a model whose sessions are sticky")
    parser.add_argument("--idempotency-key", metavar="KEY", help="the same key and request give the same job")


def submission_of(options: dict[str, Any]) -> Submission:
    """What the options ask for. Raises CommandError; what a job may hold is judged by `submit`."""
    body = _body(options)
    names = (*_NAMED, "run", "run_at", "deadline", "max_tries", "session", "idempotency_key")
    return Submission(
        tenant=tenant_of(options["tenant"]),
        endpoint=endpoint_of(body),
        body=body,
        lane=None if options["lane"] is None else next(lane for lane in Lane if lane.label == options["lane"]),
        labels=dict(options["label"]),
        timeout_s=options["timeout"],
        delivery=Delivery(options["delivery"]),
        via="shell",
        **{name: options[name] for name in names},
    )


def _body(options: dict[str, Any]) -> dict[str, Any]:
    if (options["text"] is None) == (options["body"] is None):
        raise CommandError('say what to ask: manage.py job submit "Say hello", or --body FILE; one of the two')
    body = _file(options["body"]) if options["body"] is not None else _question(options)
    if options["model"] is not None or "model" not in body:
        body["model"] = options["model"] or _only_model()
    if options["max_tokens"] is not None:
        body["max_tokens"] = options["max_tokens"]
    return body


def _question(options: dict[str, Any]) -> dict[str, Any]:
    text = _read("-") if options["text"] == "-" else options["text"]
    if options["embed"]:
        return {"input": text}
    system = [{"role": "system", "content": options["system"]}] if options["system"] else []
    return {"messages": [*system, {"role": "user", "content": text}]}


def _file(name: str) -> dict[str, Any]:
    try:
        body = orjson.loads(_read(name))
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{name} is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise CommandError(f"{name} holds no JSON object: write a request in OpenAI's shape")
    if "job" in body:
        raise CommandError("the object `job` is for REST: say it by options, such as --lane and --user")
    return body


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{'standard input' if name == '-' else name} cannot be read: {error}") from None


def tenant_of(name: str | None) -> Tenant:
    """Who pays: the one of that name, else the usual one. Raises CommandError."""
    wanted = name or conf().default_tenant
    if wanted:
        return named(Tenant, wanted)
    found = list(Tenant.objects.order_by("pk")[:2])
    usual = Tenant.objects.filter(name=USUAL_TENANT).first() or (found[0] if len(found) == 1 else None)
    if usual is None:
        raise CommandError("say who pays: --tenant NAME" if found else "there are no tenants yet: manage.py tenant create NAME")
    return usual


def _only_model() -> str:
    names = list(ModelRoute.objects.filter(is_enabled=True).order_by("name").values_list("name", flat=True)[:20])
    if len(names) != 1:
        raise CommandError(f"say which model: --model NAME, one of {', '.join(names)}" if names else "there are no models yet")
    return names[0]


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError("write it like feature=greeting")
    return key, value
