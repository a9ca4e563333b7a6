"""A site with people, a worker and a provider, and Debian's Chromium to look at it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from rateguard.embedding import ROOT
from tenants.models import Member, MemberRole, Tenant
from tests.line import Live, live, sim, sim_process
from tests.webprocess import WebProcess, start_web

__all__ = ["Site", "chromium", "live", "sim", "sim_process", "site", "start_web"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
PASSWORD = "a long enough password"
WIDE, NARROW, WIDEST = (1280, 900), (390, 844), (1920, 1080)
BACKEND = "django.contrib.auth.backends.ModelBackend"


def pytest_collection_modifyitems(items):
    """Each of these takes seconds and needs a browser."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "browser"):
            item.add_marker(pytest.mark.long)
            item.add_marker(pytest.mark.needs("browser"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium; nothing is downloaded. It ends with the module: its loop must not stand in the way of other tests'."""
    program = next(filter(None, map(shutil.which, PROGRAMS)))
    with pytest.MonkeyPatch.context() as monkeypatch, sync_playwright() as playwright:
        monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's loop runs in this thread; Django would refuse to be asked
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclasses.dataclass
class Site:
    """A line with a web process, and a browser. Every page that it opens fails the test on an error in its console."""

    live: Live
    web: WebProcess
    browser: Browser
    contexts: list[BrowserContext] = dataclasses.field(default_factory=list)
    complaints: list[str] = dataclasses.field(default_factory=list)

    @property
    def acme(self) -> Tenant:
        return self.live.line.acme

    def person(self, name: str, role: MemberRole | None = None, tenant: Tenant | None = None) -> Any:
        """Somebody with a password; without a role an operator."""
        users = get_user_model().objects
        if role is None:
            return users.create_superuser(name, password=PASSWORD)
        user = users.create_user(name, password=PASSWORD)
        Member.objects.create(user=user, tenant=tenant or self.acme, role=role)
        return user

    def window(self, size: tuple[int, int] = WIDE, scheme: str = "light", *, javascript: bool = True, user: Any = None) -> Page:
        """A new window; of somebody who is signed in, where a user is given."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=javascript,
            base_url=self.web.url,
            reduced_motion="reduce",
        )
        self.contexts.append(context)
        if user is not None:
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": _session(user), "url": self.web.url}])
        page = context.new_page()
        page.on(
            "console",
            lambda message: self.complaints.append(f"{message.text} ({message.location.get('url')})") if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._look_at(request.url))
        return page

    def _look_at(self, url: str) -> None:
        """Nothing may be loaded from elsewhere."""
        if not url.startswith((self.web.url, "data:")):
            self.complaints.append(f"loaded from elsewhere: {url}")

    def close(self) -> None:
        for context in self.contexts:
            context.close()


def _session(user: Any) -> str:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@pytest.fixture
def site(live: Live, start_web: Callable[..., WebProcess], chromium: Browser) -> Iterator[Site]:
    """A site on the live line; a page of it that complained in its console fails the test."""
    made = Site(live, start_web(), chromium)
    yield made
    made.close()
    assert not made.complaints
