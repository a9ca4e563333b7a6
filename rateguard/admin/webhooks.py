"""Webhook endpoints: made here, the secret shown once; rotated with an overlap, tried, and sent again what did not arrive."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from rateguard.admin.base import actor_of, reach_of
from rateguard.admin.changing import ChangeForm
from rateguard.admin.deeds import Deed, DoingAdmin
from rateguard.admin.drawing import badge, two_lines
from rateguard.admin.filters import TenantFilter
from rateguard.admin.inputs import one_of
from rateguard.admin.keys import OVERLAPS, SAID
from rateguard.jobs.controls.webhooks import send_again, try_out
from rateguard.jobs.models import MessageState
from tenants.access import Power
from tenants.changes import webhooks
from tenants.models import Tenant, WebhookEndpoint, WebhookEvent

MESSAGES = "rateguard_jobs_webhookmessage"
MOST_COUNTED = 1_000
EVENTS = [(event.value, event.value) for event in WebhookEvent]


class RotateForm(forms.Form):
    """How long the old secret signs beside the new one."""

    overlap = forms.ChoiceField(choices=list(SAID.items()), initial="1d", help_text="So long messages carry both signatures.")


ROTATE = Deed(
    "rotate",
    "Make a new secret",
    "do_rotate",
    asks="The endpoint and its messages stay; what they are signed with is another secret.",
    form=RotateForm,
)
TEST = Deed("test", "Send a test", "do_test", offered=lambda _, row: row.is_enabled)
RESEND = Deed(
    "resend",
    "Send all dead messages again",
    "do_resend",
    asks="Each message that is dead is sent again from the first try on, under its id.",
    offered=lambda _, row: row.is_enabled and row.messages.filter(state=MessageState.DEAD).exists(),
)


class WebhookForm(ChangeForm):
    """Where an endpoint is, and of what it hears."""

    tenant = forms.ModelChoiceField(Tenant.objects.none())
    name = forms.SlugField(max_length=64, help_text="Jobs name it by this.")
    url = forms.CharField(
        max_length=webhooks.MOST_URL_CHARS, label="URL", help_text="https, at a public address: https://example.com/hooks/rateguard"
    )
    events = forms.MultipleChoiceField(
        choices=EVENTS, required=False, widget=forms.CheckboxSelectMultiple, help_text="What it hears of; none: of all."
    )
    hears_all = forms.BooleanField(
        required=False, initial=True, label="Hears of all", help_text="Of every job and batch; else of those alone that name it."
    )
    is_enabled = forms.BooleanField(
        required=False, initial=True, label="Enabled", help_text="Else its messages wait, and new ends are not told."
    )

    def prepare(self) -> None:
        """As the endpoint is."""
        if self.instance.pk:
            self.initial.update({name: getattr(self.instance, name) for name in webhooks.FIELDS})
            return
        access = reach_of(self.request)
        mine = access.tenants(Power.MANAGE)
        self.fields["tenant"] = one_of(mine, (WebhookEndpoint, "tenant"), self.admin_site)
        if not access.is_operator and mine.count() == 1:
            self.initial["tenant"] = mine.first()


@admin.register(WebhookEndpoint)
class WebhookAdmin(DoingAdmin):
    """Where tenants hear of what ended."""

    form = WebhookForm
    deeds = (TEST, RESEND, ROTATE)
    list_display = ("name", "tenant", "shown_url", "state", "hears", "created_at")
    list_filter = (TenantFilter.over("tenant"), "is_enabled")
    list_select_related = ("tenant",)
    search_fields = ("name", "url", "tenant__name")
    ordering = ("tenant__name", "name")
    FIELDS: ClassVar = ("name", "url", "events", "hears_all", "is_enabled")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What it is; of one that is there also how its messages stand."""
        return ("of", "state", "shown_messages", *self.FIELDS) if obj else ("tenant", *self.FIELDS)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whose it is stays."""
        return ("of", "state", "shown_messages") if obj else ()

    @admin.display(description="Tenant")
    def of(self, row: WebhookEndpoint) -> str:
        """Whose it is."""
        return str(row.tenant)

    @admin.display(description="URL", ordering="url")
    def shown_url(self, row: WebhookEndpoint) -> str:
        """Where it is."""
        return row.url

    @admin.display(description="State", ordering="is_enabled")
    def state(self, row: WebhookEndpoint) -> SafeString:
        """Whether messages go there."""
        is_overlapping = row.previous_expires_at is not None and row.previous_expires_at > timezone.now()
        until = f"signed with its old secret, too, until {row.previous_expires_at:%Y-%m-%d %H:%M} UTC" if is_overlapping else ""
        return two_lines(badge("enabled", "good") if row.is_enabled else badge("disabled", "bad"), until)

    @admin.display(description="Hears of")
    def hears(self, row: WebhookEndpoint) -> SafeString:
        """Of what, and whose."""
        return two_lines(", ".join(row.events) or "every end", "" if row.hears_all else "only where it is named")

    @admin.display(description="Messages")
    def shown_messages(self, row: WebhookEndpoint) -> SafeString:
        """How many wait and how many are dead, counted up to a bound, with a way to them."""
        waiting, dead = (_counted(row, state) for state in (MessageState.PENDING, MessageState.DEAD))
        asked = urlencode({"tenant": row.tenant.name, "endpoint__name": row.name})
        where = f"{reverse(f'{self.admin_site.name}:{MESSAGES}_changelist')}?{asked}"
        return format_html('{} waiting, {} dead. <a class="rg-button" href="{}">See them</a>', waiting, dead, where)

    # ---- what is done

    def write(self, request: HttpRequest, form: Any, row: WebhookEndpoint | None) -> WebhookEndpoint:
        """Make an endpoint, or change one."""
        fields = {name: form.cleaned_data[name] for name in self.FIELDS}
        if row is not None:
            return webhooks.change_webhook(actor_of(request, row.tenant), row, **fields)
        tenant = form.cleaned_data["tenant"]
        made, secret = webhooks.create_webhook(actor_of(request, tenant), tenant, **fields)
        request.rateguard_secret = secret  # type: ignore[attr-defined]  # shown by `response_add`, kept nowhere
        return made

    def erase(self, request: HttpRequest, row: WebhookEndpoint) -> None:
        """Delete it with its messages."""
        webhooks.delete_webhook(actor_of(request, row.tenant), row)

    def response_add(self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None) -> HttpResponse:
        """The secret, once."""
        return self._shown_once(request, obj, request.rateguard_secret, "The receiver checks each message with it.")  # type: ignore[attr-defined]

    def do_rotate(self, request: HttpRequest, row: WebhookEndpoint, fields: dict[str, Any]) -> HttpResponse:
        """The new secret, once."""
        overlap = OVERLAPS[fields["overlap"]]
        secret = webhooks.rotate_webhook(actor_of(request, row.tenant), row, overlap)
        old = f"For {SAID[fields['overlap']]} messages are signed with the old one, too." if overlap else "The old one signs no more."
        return self._shown_once(request, row, secret, old)

    def do_test(self, request: HttpRequest, row: WebhookEndpoint, fields: dict[str, Any]) -> str:
        """A message that tells of nothing."""
        try_out(actor_of(request, row.tenant), row)
        return f"A test to {row.url} is on its way: see its messages for what became of it."

    def do_resend(self, request: HttpRequest, row: WebhookEndpoint, fields: dict[str, Any]) -> str:
        """Send the dead ones again."""
        count = send_again(actor_of(request, row.tenant), row)
        return f"Sent again: {count:,} message{'' if count == 1 else 's'}."

    def _shown_once(self, request: HttpRequest, row: WebhookEndpoint, secret: str, more: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"The secret of {row.name}",
            "opts": self.opts,
            "label": f"Webhook {row.name} of {row.tenant}",
            "secret": secret,
            "more": more,
            "back": reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk]),
            "back_label": "To the webhook",
            "media": self.media,
        }
        return TemplateResponse(request, "rateguard/admin/secret.html", context)


def _counted(row: WebhookEndpoint, state: MessageState) -> str:
    count = row.messages.filter(state=state)[: MOST_COUNTED + 1].count()
    return f"{count:,}" if count <= MOST_COUNTED else f"more than {MOST_COUNTED:,}"
