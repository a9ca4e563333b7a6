"""Send webhook messages again that did not arrive."""

from __future__ import annotations

from collections import Counter

from rateguard.admin.machine.verb import AT_ONCE, Chosen, Look, Order, Told, Tone, Verb, count, not_reached, of_the_chosen, reasons
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.controls.webhooks import send_again
from rateguard.jobs.models import MessageState, WebhookMessage
from tenants.access import Access, Power


class SendAgain(Verb):
    """The verb. Each message keeps its id, by which a receiver knows it."""

    name = "send_again"
    label = "Send again"
    button = "Send again"

    def may(self, access: Access) -> bool:
        """To who sets a tenant's endpoints."""
        return access.may_anywhere(Power.MANAGE)

    def fits(self, row: WebhookMessage, access: Access) -> bool:
        """A dead one."""
        return access.may(Power.MANAGE, row.tenant_id) and row.state == MessageState.DEAD

    def look(self, chosen: Chosen) -> Look:
        """How many are dead."""
        rows = chosen.rows.filter(created_at__lte=chosen.seen_at).select_related(None).order_by("-created_at", "-pk")
        mine = chosen.access.within(rows.filter(state=MessageState.DEAD), power=Power.MANAGE)
        found = list(mine.values_list("pk", flat=True)[: AT_ONCE + 1])
        seen = len(rows.values_list("pk")[: AT_ONCE + 1])
        told = [of_the_chosen(len(found), seen, "message", "sent again", is_all=chosen.is_all)]
        if rest := seen - len(found):
            told.append(f"{count(rest, 'message')} delivered already, or still being tried.")
        if len(found) > AT_ONCE:
            told.append(f"One go takes {count(AT_ONCE, 'message')}: do it again for the rest.")
        return Look(tuple(found[:AT_ONCE]), tuple(told), "message")

    def do(self, order: Order) -> list[Told]:
        """One by one, as long as a go may take."""
        done, tried = 0, 0
        refused: Counter[str] = Counter()
        for pk in order.look.touches:
            row = WebhookMessage.objects.filter(pk=pk, state=MessageState.DEAD).select_related("endpoint__tenant", "tenant").first()
            tried += 1
            try:
                done += row is not None and send_again(order.chosen.access.actor(row.tenant), row.endpoint, pk)
            except InvalidRequest as error:
                refused.update([str(error)])
            if order.is_late:
                break
        told = [Told(Tone.DONE, f"{count(done, 'message')} sent again.")] if done else []
        if meanwhile := tried - done - sum(refused.values()):
            told.append(Told(Tone.BESIDE, f"{count(meanwhile, 'message')} sent again meanwhile by somebody else."))
        told += reasons(refused, lambda number: f"{count(number, 'message')} refused")
        return told + not_reached(len(order.look.touches) - tried, "message")


SEND_AGAIN = SendAgain()
