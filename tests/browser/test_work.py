"""People at work: a limit is raised and a job starts, a job is followed to its page, cancelled by who may; with and without JavaScript."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import State
from tenants.models import MemberRole
from tests.line import MODEL, wait_for

SOON_MS = 20_000
MAY_WORK = (None, MemberRole.OWNER, MemberRole.ADMIN, MemberRole.MEMBER)
"""Roles that cancel; None is an operator."""


def waiting_job(site, tenant=None) -> Job:
    """A job behind a limit of one request an hour, which another has used."""
    site.live.line.limit("requests", 1, tenant=tenant)
    made = []
    for question in ("What came first?", "What comes next?"):
        body = {"model": MODEL, "messages": [{"role": "user", "content": question}], "max_tokens": 20}
        made.append(submit(Submission(tenant=tenant or site.acme, endpoint=Endpoint.CHAT, body=body, user="ada")).job)
        assert process_pump().flush(10)
    return made[1]


def test_a_limit_edited_in_the_admin_lets_a_waiting_job_start(site):
    operator, job = site.person("grace"), waiting_job(site)
    site.live.worker()
    watched, edited = site.window(user=operator), site.window(user=operator)
    watched.goto(reverse("dashboard:job", args=[job.pk]))
    expect(watched.get_by_role("status")).to_contain_text("1 request", timeout=SOON_MS)

    edited.goto(reverse("admin:rateguard_tenants_limit_changelist"))
    edited.get_by_role("link", name="tenant acme").first.click()
    edited.get_by_label("Limit", exact=False).first.fill("100/h")
    edited.get_by_role("button", name="Save", exact=True).click()

    expect(watched.get_by_role("status")).to_contain_text("Succeeded", timeout=SOON_MS)
    assert Job.objects.get(pk=job.pk).state == State.SUCCEEDED


def test_the_page_now_tells_of_a_new_job_by_itself(site):
    page = site.window(user=site.person("grace"))
    page.goto(reverse("dashboard:now"))
    expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=SOON_MS)

    waiting_job(site)

    waiting = page.locator("dl .tile", has=page.get_by_text("Waiting", exact=True)).locator("dd").first
    expect(waiting).to_have_text("2", timeout=SOON_MS)


@pytest.mark.parametrize("role", MAY_WORK, ids=lambda role: str(role or "operator"))
def test_who_may_work_follows_a_job_to_its_page_and_cancels_it(site, role):
    person, job = site.person("ada.lovelace", role), waiting_job(site)
    page = site.window(user=person)

    page.goto(reverse("dashboard:jobs"))
    page.locator(f"a[href$='{job.pk}']").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(str(job.pk))
    expect(page.get_by_text("What comes next?")).to_be_visible()
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the job").click()

    expect(page.get_by_role("status").first).to_be_visible()
    wait_for(lambda: Job.objects.get(pk=job.pk).state == State.CANCELLED)
    assert "ada.lovelace" in str(JobEvent.objects.filter(job=job, kind="cancelled").values_list("detail", flat=True))


def test_a_viewer_follows_a_job_but_reads_no_contents_and_cancels_nothing(site):
    person, job = site.person("vera", MemberRole.VIEWER), waiting_job(site)
    page = site.window(user=person)

    page.goto(reverse("dashboard:job", args=[job.pk]))

    expect(page.get_by_text("Your role shows figures, not contents")).to_be_visible()
    assert "What comes next?" not in page.content()
    assert not page.get_by_role("link", name="Cancel…").count()
    page.goto(reverse("dashboard:job-cancel", args=[job.pk]))
    assert page.get_by_role("heading", name="You may not do this").count()
    site.complaints.clear()  # the browser notes that a page came with status 403, as it should


def test_without_javascript_the_pages_are_plain_pages(site):
    member, job = site.person("nora", MemberRole.MEMBER), waiting_job(site)
    page = site.window(javascript=False, user=member)

    page.goto(reverse("dashboard:now"))
    expect(page.get_by_role("link", name="Load it again")).to_be_visible()
    page.get_by_role("link", name="Tenants").click()
    page.get_by_role("link", name="acme").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("acme")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs").click()
    page.get_by_label("State", exact=True).select_option("queued")
    page.get_by_role("button", name="Find jobs").click()
    expect(page.locator(f"a[href$='{job.pk}']")).to_be_visible()


def test_the_keyboard_alone_finds_and_cancels_a_job(site):
    member, job = site.person("kay", MemberRole.MEMBER), waiting_job(site)
    page = site.window(user=member)
    page.goto(reverse("dashboard:job", args=[job.pk]))

    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "cancel":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/cancel")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Cancel the job":
            break
    page.keyboard.press("Enter")

    wait_for(lambda: Job.objects.get(pk=job.pk).state == State.CANCELLED)
