"""The shapes of webhook endpoints and their messages."""

from __future__ import annotations

from rest_framework import serializers

from rateguard.api.manage.reading import FlagField, NameField, RequestShape, TextField
from rateguard.api.manage.shapes import next_cursor, of_tenant
from rateguard.api.schema.describing import Shape, constant, list_of
from rateguard.jobs.models import MessageState
from tenants.changes import webhooks
from tenants.models import WebhookEvent


class WebhookChangesShape(RequestShape):
    """An address that is told of ends, and of which."""

    name = NameField()
    url = TextField(max_length=webhooks.MOST_URL_CHARS, help_text="https, at a public address.")
    events = serializers.ListField(
        child=serializers.ChoiceField(WebhookEvent.values), required=False, max_length=len(WebhookEvent.values), help_text="Empty: all."
    )
    hears_all = FlagField(required=False, help_text="Of every job and batch; else of those alone that name it.")
    is_enabled = FlagField(required=False, help_text="False: its messages wait, and new ends are not told.")


class NewWebhookShape(WebhookChangesShape):
    """An endpoint that is to be made."""

    tenant = of_tenant()


class WebhookShape(Shape):
    """A webhook endpoint, without its secret."""

    id = serializers.IntegerField()
    object = constant("webhook")
    tenant = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.ChoiceField(WebhookEvent.values))
    hears_all = serializers.BooleanField()
    is_enabled = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    old_secret_until = serializers.DateTimeField(allow_null=True, help_text="How long messages are signed with the old secret, too.")


class WebhookWithSecretShape(WebhookShape):
    """An endpoint with its secret, this once."""

    secret = serializers.CharField(help_text="`whsec_…`: what its messages are signed with.")


WEBHOOKS = list_of(WebhookShape, next_cursor=next_cursor())


class WebhookMessageShape(Shape):
    """A message to an endpoint, and how it stands."""

    id = serializers.CharField(help_text="What the receiver sees as `webhook-id`.")
    object = constant("webhook_message")
    type = serializers.CharField(help_text="Such as `job.succeeded`; `webhook.test` for a test.")
    state = serializers.ChoiceField(MessageState.values)
    job = serializers.UUIDField(allow_null=True)
    batch = serializers.UUIDField(allow_null=True)
    tries = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    next_at = serializers.DateTimeField(allow_null=True, help_text="When it is sent, or sent again; null once it ended.")
    delivered_at = serializers.DateTimeField(allow_null=True)
    last_status = serializers.IntegerField(allow_null=True, help_text="HTTP, of the last answer; null where there was none.")
    last_error = serializers.CharField(help_text="Why the last try failed; what the endpoint said, up to 2 KB.")


WEBHOOK_MESSAGES = list_of(WebhookMessageShape, next_cursor=next_cursor())


class ResentShape(Shape):
    """How many messages are sent again."""

    object = constant("resent")
    messages = serializers.IntegerField()
