"""`manage.py deployment`: one model at one provider account."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from rateguard.api.limits.probing import probe_in_words, render_probe
from rateguard.api.limits.syncing import render_sync, sync_in_words
from rateguard.api.manage.rendering import render_deployment
from rateguard.jobs.controls.syncing import sync
from rateguard.jobs.intake.probing import probe, probe_by_call
from rateguard.management.finding import named
from rateguard.management.provider_options import add_options
from rateguard.management.rows import RowsCommand
from rateguard.management.shell import who
from rateguard.management.verbs import actor, given, yes_or_no
from tenants.changes.actor import Actor
from tenants.changes.deployments import BREAKER, KIND, change_deployment, create_deployment, delete_deployment
from tenants.changes.limits import create_limit, text_of
from tenants.changes.models import change_model, create_model
from tenants.changes.routes import deployments_of
from tenants.models import Deployment, ModelRoute, ProviderAccount, Tenant

_OPTIONS = ("region", "weight", "is_enabled", "options", *BREAKER)


class Command(RowsCommand[Deployment]):
    """A deployment serves callers once a model leads to it: `--model` says so at once."""

    help = "List, show, create, change or delete deployments."
    model, kind = Deployment, KIND
    columns = ("name", "account", "upstream_model", "models", "limits", "is_enabled")
    nothing = "there are no deployments yet: manage.py deployment create --help"
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list all deployments",
        "show": "show a deployment",
        "create": "create a deployment, with its limits, and let a model lead to it",
        "change": "change a deployment, or take it out (--is-enabled no)",
        "delete": "delete a deployment with its limits",
        "sync": "ask its provider for its limits now, and lift what cools it",
        "probe": "see whether it is well, for nothing where that can be; --spend pays one call there",
    }
    examples = """\
  manage.py deployment create mini --account main --upstream-model gpt-5.4-mini --model gpt-5.4-mini --limit "500/min"
  manage.py limit set --deployment mini "5000/min"
  manage.py deployment change mini --is-enabled no
  manage.py breaker list                              which of them fail"""

    def values(self, row: Deployment) -> dict[str, Any]:
        """Which models lead here, and what the provider allows it."""
        return {
            **render_deployment(row),
            "models": list(row.targets.order_by("route__name").values_list("route__name", flat=True)),
            "limits": [text_of(limit) for limit in row.limits.order_by("pk")],
        }

    def add_create(self, parser: CommandParser) -> None:
        """What and where."""
        parser.add_argument("name", help="letters, digits, - and _")
        parser.add_argument("--account", required=True, help="where it is")
        parser.add_argument("--upstream-model", required=True, metavar="MODEL", help="what the provider calls the model")
        parser.add_argument("--model", help="the name that callers use: made where there is none, else it leads here as its last choice")
        parser.add_argument("--limit", action="append", default=[], metavar="TEXT", help="such as 500/min; may be repeated")
        _add_options(parser)

    def do_create(self, options: dict[str, Any]) -> None:
        """Make one, all of it or nothing."""
        told = {name: options[name] for name in _OPTIONS if options[name] is not None}
        account = named(ProviderAccount, options["account"])
        with transaction.atomic():
            row = create_deployment(actor(), account=account, name=options["name"], upstream_model=options["upstream_model"], **told)
            for text in options["limit"]:
                create_limit(actor(), row, text)
            if options["model"]:
                _lead(options["model"], row)
        led = f"; model {options['model']} leads to it" if options["model"] else "; a model that leads to it: manage.py model create --help"
        self.tell(options, row, f"created deployment {row.name}{led}")

    def add_change(self, parser: CommandParser) -> None:
        """Which, and what."""
        self.add_name(parser)
        parser.add_argument("--name", help="another name")
        parser.add_argument("--upstream-model", metavar="MODEL", help="what the provider calls the model")
        _add_options(parser)

    def do_change(self, options: dict[str, Any]) -> None:
        """Change what was named."""
        row = change_deployment(actor(), self.row(options), **given(options, "name", "upstream_model", *_OPTIONS))
        self.tell(options, row, f"changed deployment {row.name}")

    def add_sync(self, parser: CommandParser) -> None:
        """Which."""
        self.add_name(parser)

    def do_sync(self, options: dict[str, Any]) -> None:
        """Ask its provider, which costs nothing, and say what came of it."""
        row = self.row(options)
        synced = sync(row, who())
        self.show(options, render_sync(row, synced), sync_in_words(row, synced))

    def add_probe(self, parser: CommandParser) -> None:
        """Which, and who pays."""
        self.add_name(parser)
        parser.add_argument("--spend", metavar="TENANT", help="call it for one token of output, which this tenant pays")

    def do_probe(self, options: dict[str, Any]) -> None:
        """Ask its provider for nothing, or submit the smallest job there."""
        row = self.row(options)
        probed = probe_by_call(row, named(Tenant, options["spend"]), via="shell") if options["spend"] else probe(row)
        self.show(options, render_probe(row, probed), probe_in_words(row, probed))

    def delete(self, actor: Actor, row: Deployment) -> None:
        """Delete it."""
        delete_deployment(actor, row)


def _lead(model: str, row: Deployment) -> None:
    """Let a model lead to a deployment, behind those to which it leads already."""
    route = ModelRoute.objects.filter(name=model).first()
    if route is None:
        create_model(actor(), name=model, deployments=[row])
    else:
        change_model(actor(), route, deployments=[*deployments_of(route), row])


def _add_options(parser: CommandParser) -> None:
    parser.add_argument("--region", help="where it stands; a model may prefer it")
    parser.add_argument("--weight", type=int, help="1 by default")
    parser.add_argument("--is-enabled", type=yes_or_no, metavar="YES|NO", help="yes by default; no: it takes nothing new")
    add_options(parser)
    for name in BREAKER:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help="of the breaker's rule; see docs/tenants.md")
