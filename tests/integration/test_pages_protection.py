"""What every page is protected by: the policy that it bears, and that nothing in it needs more than the policy allows."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from dashboard.page import HEADERS
from tests.integration.test_pages_walk import addresses, who, world  # noqa: F401
from tests.tenancy import acme  # noqa: F401

pytestmark = pytest.mark.usefixtures("redis_url")

LOADING = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("form", "action"), ("use", "href")}
"""What a browser fetches, or sends to, by itself or by one click."""
DATA = {"application/json", "importmap"}


class Faults(HTMLParser):
    """What a policy without inline scripts would break, and what comes from elsewhere."""

    def __init__(self, html: str, *, may_style: bool) -> None:
        super().__init__()
        self.found: list[str] = []
        self._may_style = may_style
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        if tag == "script" and "src" not in said and said.get("type") not in DATA:
            self.found.append("a script inside the page")
        if tag == "style" and not self._may_style:
            self.found.append("a style inside the page")
        for name, value in attrs:
            if name.startswith(("on", "hx-on")) or (name == "style" and not self._may_style):
                self.found.append(f"<{tag} {name}>")
            if (value or "").strip().lower().startswith(("http:", "https:", "//", "javascript:")) and (
                (tag, name) in LOADING or "javascript:" in (value or "").lower()
            ):
                self.found.append(f"<{tag} {name}={value}>")


def pages(client, found):
    """The addresses that answer with a page, with the answers."""
    for one in found:
        if "out" not in one.path:
            response = client.get(one.path)
            if "text/html" in response.headers.get("Content-Type", ""):
                yield one, response


def test_no_page_holds_a_script_a_style_or_anything_from_elsewhere(world):
    seen, wrong = 0, []
    for client in (who("operator"), who("nobody")):
        for one, response in pages(client, [one for one in addresses(world) if not one.is_admin]):
            seen += 1
            lacks = [name for name, value in HEADERS.items() if response.headers.get(name) != value and name != "Cache-Control"]
            lacks += [] if "no-store" in response.headers.get("Cache-Control", "") else ["no-store"]
            faults = Faults(response.content.decode(), may_style=False).found
            if lacks or faults:
                wrong.append((one.path, response.status_code, lacks, faults))
    assert seen > 8
    assert not wrong


def test_the_admin_bears_a_policy_and_holds_no_script(world):
    seen, wrong = 0, []
    for one, response in pages(who("operator"), [one for one in addresses(world) if one.is_admin and one.route.count("/") <= 3]):
        policy, faults = response.headers.get("Content-Security-Policy", ""), Faults(response.content.decode(), may_style=True).found
        seen += 1
        if "default-src 'none'" not in policy or "script-src 'self' 'unsafe-eval'" not in policy or faults:
            wrong.append((one.path, response.status_code, policy, faults))
    assert seen > 8
    assert not [one for one in wrong if one[1] == 200]
