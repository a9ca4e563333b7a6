"""`manage.py limits`: what a tenant's work meets, and which limit is in the way; without a tenant, what each model could take now."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.api.limits.rendering import render_finding
from rateguard.api.limits.views import render_capacity
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.engine.limits.limit import Kind, Metric
from rateguard.engine.money import format_usd
from rateguard.jobs.controls.targets import find_named
from rateguard.jobs.insight.binding import Effective, Obstacle
from rateguard.jobs.insight.capacity import Capacity, capacity
from rateguard.jobs.insight.inquiry import Finding, Inquiry, inquire
from rateguard.jobs.insight.naming import in_words
from rateguard.management.shell import ShellCommand, shortly, table, told_in_words
from tenants.models import Tenant

_NODES = ("team", "rolegroup", "role", "user")


class Command(ShellCommand):
    """The same as REST's `limits` and `capacity`, with nothing hidden."""

    help = "Show what limits a tenant's work, or without a tenant what each model could take now. To set limits: manage.py limit."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose work, and which request."""
        super().add_arguments(parser)
        parser.add_argument("--tenant", help="its name or number")
        for name in _NODES:
            parser.add_argument(f"--{name}", default="", help=f"the {name} on the path")
        parser.add_argument("--run", type=uuid.UUID, help="the id of the run on the path")
        parser.add_argument("--model", default="", help="the model of the request: its deployments are judged too")
        parser.add_argument("--lane", default=Lane.NORMAL.label, help="the lane of the request; normal by default")
        parser.add_argument("--input-tokens", type=int, default=1, help="tokens that the request sends; 1 by default")
        parser.add_argument("--max-tokens", type=int, default=0, help="tokens that the answer may have; 0 by default")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Look and tell."""
        with told_in_words():
            lane = parse_lane(options["lane"])
            if options["tenant"] is None:
                if any(options[name] for name in (*_NODES, "run", "model")):
                    raise CommandError("say whose: --tenant acme")
                found = capacity(lane)
                self.show(options, render_capacity(found), _capacity_in_words(found))
                return
            finding = inquire(_inquiry(options, lane))
        self.show(options, render_finding(finding), _finding_in_words(finding))


def _inquiry(options: dict[str, Any], lane: Lane) -> Inquiry:
    tenant = find_named(Tenant.objects.all(), options["tenant"])
    if tenant is None:
        raise CommandError(f"there is no tenant {options['tenant']!r}")
    named = {name: options[name] for name in (*_NODES, "run", "model")}
    return Inquiry(
        tenant_id=tenant.pk, lane=lane, input_tokens=max(0, options["input_tokens"]), max_tokens=max(0, options["max_tokens"]), **named
    )


# ---- in words


def _finding_in_words(finding: Finding) -> str:
    asked, lane = finding.asked, finding.asked.lane
    head = ("limit", "used", "reserved", "left", "one more fits")
    rows = [_row(one, lane) for one in finding.standing.path]
    for place in finding.standing.places:
        rows += [_row(one, lane) for one in place.limits]
    request = f"one request of {asked.need.input_tokens:,} + {asked.need.max_output_tokens:,} tokens in lane {lane.label}"
    return "\n".join([table(head, rows) if rows else "nothing limits this path", "", f"{request}: {_verdict(finding.binding)}"])


def _row(limit: Effective, lane: Lane) -> tuple[object, ...]:
    when = shortly(limit.use.next_ms)
    if limit.record.kind == Kind.PAUSE:
        return (f"{_node(limit.scope_kind, limit.scope)} is paused", "", "", "", when)
    reserved = limit.use.reserved if limit.record.kind == Kind.BUDGET else None
    figures = (limit.use.used, reserved, limit.left(lane))
    texts = [_figure(one, limit.record.metric) for one in figures]
    return (in_words(limit.record.id), *texts, when)


def _figure(value: int | None, metric: Metric) -> str | int | None:
    return format_usd(value) if metric == Metric.COST and value is not None else value


def _node(kind: str, name: str) -> str:
    return f"{kind} {name}" if name else "everything"


def _verdict(obstacle: Obstacle | None) -> str:
    if obstacle is None:
        return "nothing is in its way"
    what = _what(obstacle)
    if obstacle.is_never:
        return f"it can never pass {what}"
    if not obstacle.fits:
        return f"{what} is in its way; it fits {shortly(obstacle.wait_ms)}"
    return f"it fits now; {obstacle.headroom:,} such fit before {what} is in the way"


def _what(obstacle: Obstacle) -> str:
    """What is in the way, in words."""
    if obstacle.kind == "pause":
        return f"the pause of {_node(obstacle.scope_kind, obstacle.scope)}"
    if obstacle.id:
        return in_words(obstacle.id)
    if obstacle.kind == "no_deployment":
        return "that no deployment serves the model"
    return f"the {obstacle.kind} of {obstacle.scope_kind} {obstacle.scope}"


def _capacity_in_words(found: Capacity) -> str:
    rows: list[tuple[object, ...]] = []
    for model in found.models:
        rows.append((model.model, _amount(model.total.requests), _amount(model.total.tokens), ""))
        for one in model.deployments:
            why = "" if one.closed_by is None else f"{_what(one.closed_by)}, open {shortly(one.closed_by.wait_ms)}"
            rows.append((f"  {one.state.name}", _amount(one.room.requests), _amount(one.room.tokens), why))
    lines = [table(("model", "requests", "tokens", "closed by"), rows) if rows else "there are no models"]
    if found.above:
        head = ("above all tenants", "used", "reserved", "left", "one more fits")
        lines += ["", table(head, [_row(one, found.lane) for one in found.above])]
    return "\n".join(lines)


def _amount(value: int | None) -> str:
    return "unlimited" if value is None else f"{value:,}"
