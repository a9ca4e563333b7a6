"""The pages of docs/ as a site: it builds with every link leading somewhere, and it loads nothing from elsewhere."""

from __future__ import annotations

import html.parser
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.acceptance.pages import PROJECT

BUILDS_IN_S = 100
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def built(project, site):
    """The strict build of a checkout's docs, with what it said."""
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", project / "mkdocs.yml", "--site-dir", site]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=BUILDS_IN_S, env=environment, check=False)


class Loads(html.parser.HTMLParser):
    """What a browser fetches by itself for a page."""

    def __init__(self, text):
        super().__init__()
        self.addresses = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        address = dict(attrs).get(LOADED.get(tag, ""))
        if address and dict(attrs).get("rel") not in {"canonical", "next", "prev"}:
            self.addresses.append(address)


def is_elsewhere(address):
    return re.match(r"(\w+:)?//", address) is not None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = built(PROJECT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.long
def test_the_site_loads_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    assert {address for page in pages for address in Loads(page.read_text()).addresses if is_elsewhere(address)} == set()
    styles = [style.read_text() for style in site.rglob("*.css")]
    assert not [url for style in styles for url in re.findall(r"(?:url\(|@import )[\"']?([^)\"']+)", style) if is_elsewhere(url)]


@pytest.mark.long
def test_a_page_of_the_site_shows_the_file_that_the_docs_link_to(site):
    shown = (site / "source" / "tests" / "acceptance" / "test_rules.py" / "index.html").read_text()
    assert "test_rules.py" in shown
    assert 'href="../source/tests/acceptance/test_rules.py/"' in (site / "architecture" / "index.html").read_text()


@pytest.mark.long
@pytest.mark.parametrize("link", ["nowhere.md", "gate.md#nothing", "../tests/test_nowhere.py"])
def test_a_link_that_leads_nowhere_ends_the_build(link, tmp_path):
    shutil.copy(PROJECT / "mkdocs.yml", tmp_path)
    shutil.copytree(PROJECT / "docs", tmp_path / "docs")
    for other in (path for path in PROJECT.iterdir() if not (tmp_path / path.name).exists()):
        (tmp_path / other.name).symlink_to(other)
    with (tmp_path / "docs" / "gate.md").open("a") as page:
        page.write(f"\n[here]({link})\n")
    done = built(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    (warning,) = (line for line in done.stderr.splitlines() if line.startswith("WARNING"))
    assert link.rpartition("/")[2] in warning
