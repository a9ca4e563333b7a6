"""The page to which a problem leads."""

import re
from pathlib import Path

from django.test import Client

from rateguard.api.problems import Problem

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"


def test_the_type_of_a_problem_leads_to_the_place_of_its_code():
    page, _, place = Problem.of_status(404).as_dict("")["type"].partition("#")
    response = Client().get(page)
    assert response.headers["Content-Type"].startswith("text/html")
    assert f'<h3 id="{place}"><code>not_found</code></h3>' in response.text


def test_every_code_of_the_docs_has_its_place_on_the_page():
    codes = re.findall(r"^### `(\w+)`$", DOCS.read_text(), re.MULTILINE)
    shown = Client().get("/api/v1/errors").text
    assert re.findall(r'<h3 id="(\w+)">', shown) == codes
    assert "](" not in shown
    assert "`" not in shown
