"""The page Now in a browser: it keeps itself new, leaves the reader where he is, and says when it ended."""

from __future__ import annotations

from django.contrib.sessions.models import Session

from tenants.models import MemberRole


def test_a_new_job_shows_by_itself_and_the_reader_stays_where_he_is(site):
    page = site.window(user=site.person("grace"))
    page.goto("/dashboard/")
    page.get_by_text("live", exact=True).wait_for()
    page.locator("#now-waiting").focus()
    site.live.line.submit()
    page.get_by_text("No worker runs: 1 waits for a worker to be started.").wait_for()
    assert page.evaluate("document.activeElement.id") == "now-waiting"


def test_a_session_that_ended_is_told_and_the_stream_does_not_come_back(site):
    page = site.window(user=site.person("ada", MemberRole.VIEWER))
    page.goto("/dashboard/")
    page.get_by_text("live", exact=True).wait_for()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    Session.objects.all().delete()
    page.get_by_text("You are signed out").wait_for()
    page.wait_for_timeout(1_500)  # nothing tells that nobody asks again
    assert asked == []
    page.get_by_role("link", name="Load the page again").click()
    page.wait_for_url("**/dashboard/signin**")


def test_without_javascript_it_is_a_page_with_a_link_to_load_it_again(site):
    page = site.window(user=site.person("grace"), javascript=False)
    page.goto("/dashboard/")
    assert "Accepting jobs." in page.locator(".sentence").inner_text()
    page.get_by_role("link", name="Load it again").click()
    assert "Accepting jobs." in page.locator(".sentence").inner_text()
