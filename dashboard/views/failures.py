"""What failed alike, and trying all of a group again."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods, require_safe

from dashboard.page import page, shown
from dashboard.panels.failures import failures_panel
from dashboard.panels.jobs import RANGE_OPTIONS, address
from dashboard.queries.failures import read_failures_asked, retry_of, see_failures
from dashboard.queries.jobs import offers
from dashboard.queries.tenant import find_tenant
from rateguard.engine.errors import NotAllowed
from rateguard.jobs.steering.many import Done, do
from rateguard.jobs.steering.wishes import WHY_NOT
from tenants.access import Access, Power


@require_safe
@page
def failures(request: HttpRequest, access: Access) -> HttpResponseBase:
    """`?tenant=`, `?model=`, `?range=`."""
    asked = read_failures_asked(request.GET.dict(), access)
    panel = failures_panel(access, asked, see_failures(access, asked, timezone.now()))
    return shown(
        request, access, "failures", here="failures", asked=asked, panel=panel, ranges=RANGE_OPTIONS, offers=offers(access), zone=asked.zone
    )


@require_http_methods(["GET", "HEAD", "POST"])
@page
def retry_failures(request: HttpRequest, access: Access, name: str, fingerprint: str) -> HttpResponseBase:
    """GET says what a retry of all would do and asks; POST does it to those that it was told of."""
    tenant = find_tenant(access, name)
    if tenant is None:
        raise Http404
    if not access.may(Power.WORK, tenant.pk):
        raise NotAllowed("Your role lets you look at jobs, not retry them. Ask an owner of your tenant for the role of a member.")
    as_of = parse_datetime(request.POST.get("as_of", "")[:40].replace("\0", "")) if request.method == "POST" else None
    choice = retry_of(tenant, fingerprint, as_of if as_of and as_of.tzinfo else None)
    if request.method != "POST" or as_of is None:
        told = {
            "models": choice.models.most_common(),
            "left_out": [(number, WHY_NOT[reason]) for reason, number in choice.others.most_common()],
        }
        return shown(request, access, "failures_retry", here="failures", tenant=tenant, choice=choice, **told)
    _tell(request, do(choice, by=access.actor(tenant).by), choice.left)
    return redirect(f"{reverse('dashboard:failures')}{address({'tenant': tenant.name})}")


def _tell(request: HttpRequest, done: Done, left: int) -> None:
    if done.moved:
        messages.success(request, f"{_jobs(done.moved)} waiting again.")
    for code, refusal in done.refused.first.items():
        messages.error(request, f"{_jobs(done.refused.jobs[code])} refused: {refusal}.")
    if done.meanwhile:
        messages.info(request, f"{_jobs(done.meanwhile)} had moved on meanwhile.")
    if left + done.not_reached:
        messages.warning(request, f"{_jobs(left + done.not_reached)} left: do it again for the rest.")
    if not done.moved and not done.refused.total:
        messages.warning(request, "There was nothing left to do: all of them had moved on already.")


def _jobs(number: int) -> str:
    return f"{number:,} job{'' if number == 1 else 's'}"
