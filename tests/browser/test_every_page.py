"""Every page with a month behind it and work under way: fit for everybody (axe), on every screen, light and dark; and its picture.

    TESTS_PICTURES=FOLDER manage.py test --long tests/browser/test_every_page.py

keeps the pictures; those of README and docs are taken so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import expect

from rateguard.jobs.models import Job, WebhookMessage
from rateguard.jobs.states import State
from tenants.changes.actor import Actor
from tenants.changes.webhooks import create_webhook
from tenants.models import ModelRoute, WebhookEndpoint
from tests.browser.conftest import NARROW, WIDE, WIDEST, Site
from tests.browser.past import World, make_busy, make_past, make_world
from tests.line import CREDENTIALS, wait_for

SERIOUS = {"serious", "critical"}
VIEWS = [(WIDE, "light"), (NARROW, "dark"), (WIDE, "dark"), (NARROW, "light"), (WIDEST, "light")]
ADMIN_VIEWS = VIEWS[:2]
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def admin(model: str) -> str:
    return reverse(f"admin:{model}_changelist")


PAGES: dict[str, Callable[[World], str]] = {
    "now": lambda _: reverse("dashboard:now"),
    "tenants": lambda _: reverse("dashboard:tenants"),
    "tenant": lambda _: reverse("dashboard:tenant", args=["acme"]) + "?span=30d",
    "tenant-by-user": lambda _: reverse("dashboard:tenant", args=["globex"]) + "?span=7d&by=user",
    "jobs": lambda _: reverse("dashboard:jobs"),
    "jobs-failed": lambda _: reverse("dashboard:jobs") + "?state=failed&range=30d",
    "failures": lambda _: reverse("dashboard:failures") + "?range=30d",
    "job-done": lambda _: job_page(state=State.SUCCEEDED),
    "job-failed": lambda _: job_page(state=State.FAILED),
    "job-waiting": lambda _: job_page(state=State.QUEUED),
    "admin": lambda _: reverse("admin:index"),
    "admin-limits": lambda _: admin("rateguard_tenants_limit"),
    "admin-limit-add": lambda _: reverse("admin:rateguard_tenants_limit_add"),
    "admin-budgets": lambda _: admin("rateguard_tenants_budget"),
    "admin-tenants": lambda _: admin("rateguard_tenants_tenant"),
    "admin-keys": lambda _: admin("rateguard_tenants_apikey"),
    "admin-members": lambda _: admin("rateguard_tenants_member"),
    "admin-webhooks": lambda _: admin("rateguard_tenants_webhookendpoint"),
    "admin-webhook": lambda _: reverse("admin:rateguard_tenants_webhookendpoint_change", args=[WebhookEndpoint.objects.get().pk]),
    "admin-webhook-messages": lambda _: admin("rateguard_jobs_webhookmessage"),
    "admin-accounts": lambda _: admin("rateguard_tenants_provideraccount"),
    "admin-deployments": lambda _: admin("rateguard_tenants_deployment"),
    "admin-models": lambda _: admin("rateguard_tenants_modelroute"),
    "admin-model": lambda _: reverse("admin:rateguard_tenants_modelroute_change", args=[ModelRoute.objects.order_by("pk")[0].pk]),
    "admin-prices": lambda _: admin("rateguard_tenants_price"),
    "admin-jobs": lambda _: admin("rateguard_jobs_job"),
    "admin-ledger": lambda _: admin("rateguard_tenants_ledgerentry"),
    "admin-job": lambda _: reverse("admin:rateguard_jobs_job_change", args=[Job.objects.filter(state=State.FAILED)[0].pk]),
    "admin-attempts": lambda _: admin("rateguard_jobs_attempt"),
    "admin-events": lambda _: admin("rateguard_jobs_jobevent"),
    "admin-audit": lambda _: admin("rateguard_tenants_auditentry"),
    "admin-runs": lambda _: admin("rateguard_tenants_run"),
    "admin-pauses": lambda _: admin("rateguard_tenants_pause"),
    "admin-pause-add": lambda _: reverse("admin:rateguard_tenants_pause_add"),
}


def job_page(**found: object) -> str:
    return reverse("dashboard:job", args=[Job.objects.filter(**found).order_by("-submitted_at")[0].pk])


def make_told(world: World) -> None:
    """An endpoint, and a message that it did not take."""
    acme = world.tenants["acme"]
    row, _ = create_webhook(Actor(by="tests"), acme, name="orders", url="https://example.com/hooks", hears_all=False)
    job = Job.objects.filter(tenant=acme, state=State.SUCCEEDED)[0]
    said = "HTTP 503: the queue of the shop is full"
    WebhookMessage.objects.create(
        tenant=acme, endpoint=row, job=job, kind="job.succeeded", body="{}", state="dead", tries=11, last_error=said
    )


@pytest.fixture
def world(site: Site) -> World:
    """Four tenants with a month behind them; jobs that wait for a limit, and a worker at work on them."""
    site.live.line.provider.control.configure(latency={"base_ms": 1_500, "jitter": 0.5, "per_token_ms": 1})
    made = make_world(site.live.line.provider.base_url, CREDENTIALS)
    make_past(made)
    make_told(made)
    site.live.worker()
    make_busy(made)
    wait_for(lambda: Job.objects.filter(state=State.RUNNING).exists(), 60)
    return made


@pytest.mark.timeout(900)
def test_every_page_is_fit_for_everybody(site, world, tmp_path):
    pictures = Path(os.environ.get("TESTS_PICTURES") or tmp_path)
    operator, found = site.person("grace.hopper"), {}
    for size, scheme in VIEWS:
        page = site.window(size, scheme, user=operator)
        for name, address in PAGES.items():
            if name.startswith("admin") and (size, scheme) not in ADMIN_VIEWS:
                continue
            page.goto(address(world), wait_until="load")
            if name == "now":
                expect(page.locator("[data-live=yes]")).to_be_visible(timeout=20_000)
            picture = f"{name}-{size[0]}-{scheme}"
            page.screenshot(path=pictures / f"{picture}.png", full_page=size == NARROW)
            found[picture] = serious(page) + ([f"{page.evaluate(OVERFLOW)} px too wide"] if page.evaluate(OVERFLOW) > 0 else [])
        page.context.close()
    signed_out = site.window()
    signed_out.goto(reverse("dashboard:signin"))
    signed_out.screenshot(path=pictures / "signin.png")
    found["signin"] = serious(signed_out)

    assert not {picture: what for picture, what in found.items() if what}


def serious(page) -> list[str]:
    """What keeps somebody from using the page: axe's serious and critical findings."""
    violations = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in violations if one["impact"] in SERIOUS]
