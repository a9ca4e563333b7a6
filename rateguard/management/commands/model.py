"""`manage.py model`: the names that callers use, and the deployments to which they lead."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.api.manage.rendering import render_model
from rateguard.api.routes.rendering import explained_in_words, render_explained
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.insight.routes import Question, explain
from rateguard.management.choosing import OPTIONS, add_choosing, choosing
from rateguard.management.finding import named
from rateguard.management.rows import RowsCommand
from rateguard.management.verbs import actor, given, yes_or_no
from tenants.changes.actor import Actor
from tenants.changes.models import KIND, RETRIES, change_model, create_model, delete_model
from tenants.models import Deployment, ModelRoute, Tenant


class Command(RowsCommand[ModelRoute]):
    """Its first deployment is asked first, the next one where that has no room."""

    help = "List, show, create, change or delete models."
    model, kind = ModelRoute, KIND
    columns = ("name", "deployments", "is_enabled")
    nothing = "there are no models yet: manage.py deployment create --help"
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list all models",
        "show": "show a model",
        "create": "create a model that leads to deployments",
        "change": "let a model lead elsewhere, or take it out (--is-enabled no)",
        "delete": "delete a model; its deployments stay",
        "explain": "which of its deployments is asked first now, and why",
    }
    examples = """\
  manage.py model create small --deployment mini-eu --deployment mini-us
  manage.py model change small --deployment mini-us        all of them anew, in order
  manage.py model change small --max-tries 3 --retry-base-ms 1000
  manage.py model change small --strategy weighted --weight mini-eu=3 --weight mini-us=1
  manage.py model change small --fallback context_too_long=large --fallback any=other
  manage.py model change small --is-enabled no
  manage.py model explain small"""

    def values(self, row: ModelRoute) -> dict[str, Any]:
        """As REST has it."""
        return render_model(row, None)

    def add_create(self, parser: CommandParser) -> None:
        """What callers write, and where it leads."""
        parser.add_argument("name", help="what callers write as `model`")
        _add_deployments(parser, is_required=True)
        add_choosing(parser)
        _add_retries(parser)

    def do_create(self, options: dict[str, Any]) -> None:
        """Make one."""
        row = create_model(actor(), name=options["name"], deployments=_deployments(options), **_named(options), **choosing(options))
        self.tell(options, row, f"created model {row.name}")

    def add_change(self, parser: CommandParser) -> None:
        """Which, and what."""
        self.add_name(parser)
        parser.add_argument("--name", help="another name")
        _add_deployments(parser, is_required=False)
        parser.add_argument("--is-enabled", type=yes_or_no, metavar="YES|NO", help="no: callers are told that there is no such model")
        add_choosing(parser)
        _add_retries(parser)

    def do_change(self, options: dict[str, Any]) -> None:
        """Change what was named."""
        given(options, "name", "deployment", "is_enabled", *OPTIONS, *RETRIES)
        fields = {**_named(options), **choosing(options)}
        if options["deployment"]:
            fields["deployments"] = _deployments(options)
        row = change_model(actor(), self.row(options), **fields)
        self.tell(options, row, f"changed model {row.name}")

    def add_explain(self, parser: CommandParser) -> None:
        """Which, for whom."""
        self.add_name(parser)
        parser.add_argument("--tenant", help="the list of this tenant, who may have deployments of its own")
        parser.add_argument("--lane", choices=[lane.label for lane in Lane], default=Lane.NORMAL.label)
        parser.add_argument("--session", default="", metavar="TEXT", help="where work of this session stays")

    def do_explain(self, options: dict[str, Any]) -> None:
        """Which of its deployments is asked first now, and why."""
        row = self.row(options)
        tenant = named(Tenant, options["tenant"]) if options["tenant"] else None
        whose, lane = None if tenant is None else tenant.pk, parse_lane(options["lane"])
        found = explain(Question(model=row.name, tenant_id=whose, lane=lane, session=options["session"]))
        if found is None:
            raise CommandError(f"model {row.name} is out, or stands for many: manage.py model show {row.name}")
        self.show(options, render_explained(found), explained_in_words(found))

    def delete(self, actor: Actor, row: ModelRoute) -> None:
        """Delete it."""
        delete_model(actor, row)


def _named(options: dict[str, Any]) -> dict[str, Any]:
    """What was said of the row itself."""
    names = ("is_enabled", *RETRIES) if options["verb"] == "create" else ("name", "is_enabled", *RETRIES)
    return {name: options[name] for name in names if options.get(name) is not None}


def _add_deployments(parser: CommandParser, *, is_required: bool) -> None:
    told = "where it leads; repeat it, the first one is asked first"
    parser.add_argument("--deployment", action="append", required=is_required, metavar="NAME", help=told)


def _add_retries(parser: CommandParser) -> None:
    parser.add_argument("--max-tries", type=int, metavar="N", help="failures of a job before it fails; the setting MAX_TRIES by default")
    parser.add_argument("--retry-base-ms", type=int, metavar="MS", help="the longest first wait; it doubles; RETRY_BASE_MS by default")
    parser.add_argument("--retry-max-ms", type=int, metavar="MS", help="the longest wait; RETRY_MAX_MS by default")


def _deployments(options: dict[str, Any]) -> list[Deployment]:
    return [named(Deployment, text) for text in options["deployment"]]
