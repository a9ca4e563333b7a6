"""`manage.py webhook`: where tenants hear of what ended, and the messages that did not arrive."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.api.manage.rendering_webhooks import render_message, render_webhook
from rateguard.jobs.controls.webhooks import send_again, try_out
from rateguard.jobs.models import MessageState
from rateguard.management.finding import named, the_webhook
from rateguard.management.shell import span
from rateguard.management.showing import columns, listed
from rateguard.management.verbs import VerbCommand, actor, given, yes_or_no
from tenants.changes.webhooks import change_webhook, create_webhook, delete_webhook, rotate_webhook
from tenants.models import Tenant, WebhookEndpoint, WebhookEvent

MOST_SHOWN = 200
_FIELDS = ("name", "url", "events", "hears_all", "is_enabled")


class Command(VerbCommand):
    """A secret is shown once, where it is made; nobody can read it again."""

    help = "List, create, change, rotate, test or delete webhook endpoints; see their messages and send dead ones again."
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "list": "list the webhook endpoints of a tenant, or all",
        "create": "create an endpoint; its secret is shown this once",
        "change": "change an endpoint; it acts on the messages that wait, too",
        "rotate": "give an endpoint a new secret; messages are signed with both for a while",
        "delete": "delete an endpoint with its messages",
        "test": "send an endpoint a message that tells of nothing",
        "messages": "list the newest messages of an endpoint",
        "resend": "send all dead messages of an endpoint again, or one",
    }
    examples = """\
  manage.py webhook create orders --tenant acme --url https://example.com/hooks/rateguard
  manage.py webhook create failures --tenant acme --url https://example.com/alarm --event job.failed --event job.expired
  manage.py webhook create named --tenant acme --url https://example.com/mine --hears-all no       only of jobs that name it
  manage.py webhook test orders
  manage.py webhook messages orders --state dead
  manage.py webhook resend orders"""

    # ---- endpoints

    def add_list(self, parser: CommandParser) -> None:
        """Whose."""
        parser.add_argument("--tenant", help="of one tenant")

    def do_list(self, options: dict[str, Any]) -> None:
        """All of them, or a tenant's."""
        found = WebhookEndpoint.objects.select_related("tenant").order_by("tenant__name", "name")
        if options["tenant"]:
            found = found.filter(tenant=named(Tenant, options["tenant"]))
        rows = [render_webhook(row) for row in found]
        names = ("id", "tenant", "name", "url", "events", "hears_all", "is_enabled")
        self.show(options, listed(rows), columns(rows, names, "no webhooks here: manage.py webhook create NAME --tenant NAME --url URL"))

    def add_create(self, parser: CommandParser) -> None:
        """Whose, where, and of what it hears."""
        parser.add_argument("name", help="letters, digits, - and _; jobs name it by this")
        parser.add_argument("--tenant", required=True, help="whose it is")
        parser.add_argument("--url", required=True, help="https, at a public address")
        _add_fields(parser)

    def do_create(self, options: dict[str, Any]) -> None:
        """Make one, and show its secret."""
        told = {name: options[name] for name in _FIELDS if options[name] is not None}
        row, secret = create_webhook(actor(), named(Tenant, options["tenant"]), **told)
        self._show_secret(options, row, secret, f"created webhook {row.name} of {row.tenant.name} (webhook {row.pk})")

    def add_change(self, parser: CommandParser) -> None:
        """Which, and what."""
        _add_webhook(parser)
        parser.add_argument("--name", help="another name")
        parser.add_argument("--url", help="another address")
        _add_fields(parser)

    def do_change(self, options: dict[str, Any]) -> None:
        """Change what was named."""
        row = change_webhook(actor(), _webhook(options), **given(options, *_FIELDS))
        self.show(options, render_webhook(row), f"changed webhook {row.name} of {row.tenant.name}")

    def add_rotate(self, parser: CommandParser) -> None:
        """Which, and for how long with both."""
        _add_webhook(parser)
        parser.add_argument(
            "--overlap",
            type=span,
            default=span("24h"),
            help="how long the old secret signs, too: 0s, 90s, 24h, 7d; 24h by default",
        )

    def do_rotate(self, options: dict[str, Any]) -> None:
        """A new secret, shown once."""
        row = _webhook(options)
        secret = rotate_webhook(actor(), row, options["overlap"])
        row.refresh_from_db()
        until = f"; signed with the old secret, too, until {render_webhook(row)['old_secret_until']}" if options["overlap"] else ""
        self._show_secret(options, row, secret, f"rotated webhook {row.name} of {row.tenant.name}{until}")

    def add_delete(self, parser: CommandParser) -> None:
        """Which."""
        _add_webhook(parser)

    def do_delete(self, options: dict[str, Any]) -> None:
        """Delete it with its messages."""
        row = _webhook(options)
        values = render_webhook(row)
        delete_webhook(actor(), row)
        self.show(options, {**values, "deleted": True}, f"deleted webhook {values['name']} of {values['tenant']}")

    # ---- messages

    def add_test(self, parser: CommandParser) -> None:
        """Which."""
        _add_webhook(parser)

    def do_test(self, options: dict[str, Any]) -> None:
        """Write the message; a worker sends it."""
        row = _webhook(options)
        words = f"a test to {row.url} is on its way; what became of it: manage.py webhook messages {row.pk}"
        self.show(options, render_message(try_out(actor(), row)), words)

    def add_messages(self, parser: CommandParser) -> None:
        """Of which, and how they stand."""
        _add_webhook(parser)
        parser.add_argument("--state", choices=MessageState.values, help="those alone that stand so")

    def do_messages(self, options: dict[str, Any]) -> None:
        """The newest."""
        found = _webhook(options).messages.defer("body").order_by("-created_at", "-pk")
        found = found.filter(state=options["state"]) if options["state"] else found
        rows = [render_message(row) for row in found[:MOST_SHOWN]]
        names = ("id", "type", "state", "tries", "created_at", "next_at", "last_status", "last_error")
        shortened = [{**row, "last_error": row["last_error"][:60]} for row in rows]
        self.show(options, listed(rows), columns(shortened, names, "no messages here"))

    def add_resend(self, parser: CommandParser) -> None:
        """Of which, and which."""
        _add_webhook(parser)
        parser.add_argument(
            "--message", type=_message, metavar="ID", help="one message, also one that waits for its next try; all dead ones by default"
        )

    def do_resend(self, options: dict[str, Any]) -> None:
        """Send again, from the first try on."""
        row = _webhook(options)
        if options["message"] is not None and not row.messages.filter(pk=options["message"]).exists():
            raise CommandError(f"the webhook {row.name} has no message {options['message']}")
        count = send_again(actor(), row, options["message"])
        self.show(
            options, {"object": "resent", "messages": count}, f"sent again to {row.name}: {count:,} message{'' if count == 1 else 's'}"
        )

    def _show_secret(self, options: dict[str, Any], row: WebhookEndpoint, secret: str, words: str) -> None:
        self.show(options, {**render_webhook(row), "secret": secret}, f"{words}\n\n  {secret}\n\nkeep it: it is shown this once")


def _add_webhook(parser: CommandParser) -> None:
    parser.add_argument("webhook", help="its name or number")
    parser.add_argument("--tenant", help="whose it is, where two tenants have one of that name")


def _webhook(options: dict[str, Any]) -> WebhookEndpoint:
    return the_webhook(options["webhook"], named(Tenant, options["tenant"]) if options["tenant"] else None)


def _add_fields(parser: CommandParser) -> None:
    parser.add_argument(
        "--event", dest="events", action="append", choices=WebhookEvent.values, help="what it hears of; may be repeated; all by default"
    )
    parser.add_argument("--hears-all", type=yes_or_no, metavar="YES|NO", help="of every job and batch, or of those alone that name it")
    parser.add_argument("--is-enabled", type=yes_or_no, metavar="YES|NO", help="no: its messages wait, and new ends are not told")


def _message(text: str) -> uuid.UUID:
    return uuid.UUID(text.removeprefix("msg_"))
