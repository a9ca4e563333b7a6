"""Signing in by the form."""

from __future__ import annotations

from tenants.models import MemberRole
from tests.browser.conftest import PASSWORD


def test_a_member_signs_in_by_password_and_out_again(site):
    site.person("ada", MemberRole.VIEWER)
    page = site.window()

    page.goto("/dashboard/jobs")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    page.wait_for_url("**/dashboard/jobs")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/dashboard/signin")
    page.goto("/dashboard/")
    assert "/dashboard/signin" in page.url
