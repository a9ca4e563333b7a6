"""The schema holds every address and method of the API, with all that they may answer; its page loads nothing from elsewhere."""

import re

import pytest
import yaml
from django.test import Client
from django.urls import URLPattern, get_resolver
from drf_spectacular.drainage import GENERATOR_STATS

from rateguard.api.schema import document as documents
from rateguard.api.schema.describing import TAGS
from tests.api import problem_of

NOT_PART_OF_IT = {"schema-json", "schema-yaml", "swagger", "swagger-file", "errors"}
"""Other forms of the schema, and pages for people."""
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def schema():
    documents._made.cache_clear()
    made = documents.document()
    assert not GENERATOR_STATS, [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    return made


def addresses(resolver=None, prefix=""):
    """(path as the schema writes it, method) of every view under /api/v1."""
    for pattern in (resolver or get_resolver()).url_patterns:
        path = prefix + str(pattern.pattern)
        if not isinstance(pattern, URLPattern):
            yield from addresses(pattern, path)
        elif path.startswith("api/v1/") and pattern.name not in NOT_PART_OF_IT:
            view = pattern.callback.cls
            for method in METHODS:
                if method in view.http_method_names and hasattr(view, method):
                    yield "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path), method


def operations(schema):
    return {(path, method): operation for path, methods in schema["paths"].items() for method, operation in methods.items()}


def test_every_address_and_method_is_described_and_no_other(schema):
    described = operations(schema)
    assert set(described) == set(addresses())
    assert len(described) > 60
    for operation in described.values():
        assert operation["summary"], operation["operationId"]
        assert len(operation["tags"]) == 1
        assert operation["tags"][0] in TAGS
    ids = [operation["operationId"] for operation in described.values()]
    assert len(set(ids)) == len(ids)
    assert not [one for one in ids if one.startswith("api_")]  # none was made up


def test_every_refusal_is_a_problem_and_every_answer_has_a_shape(schema):
    for (path, method), operation in operations(schema).items():
        for status, answer in operation["responses"].items():
            content = answer.get("content", {})
            if status >= "400":
                assert content["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
            else:
                assert content or status == "204", (path, method, status)
        if "/schema" not in path:
            assert {"400", "401", "403", "503"} <= set(operation["responses"])
            assert operation["security"] == [{"key": []}]
        assert ("requestBody" in operation) <= ({"413", "415"} <= set(operation["responses"]))


def test_it_is_told_as_json_and_as_yaml(schema):
    client = Client()
    as_json = client.get("/api/v1/schema")
    assert (as_json.headers["Content-Type"], as_json.json()["openapi"], as_json.json()["info"]["version"]) == (
        "application/json",
        "3.1.0",
        "1.0.0",
    )
    assert client.get("/api/v1/schema.json").content == as_json.content
    as_yaml = client.get("/api/v1/schema", headers={"Accept": "application/yaml"})
    assert as_yaml.headers["Content-Type"] == "application/yaml"
    assert client.get("/api/v1/schema.yaml").content == as_yaml.content
    assert yaml.load(as_yaml.content, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) == as_json.json()
    assert (as_json.json()["paths"], as_json.json()["servers"]) == (schema["paths"], [{"url": "/"}])


def test_it_is_made_once_and_whatever_a_host_project_says(schema, settings):
    from drf_spectacular.settings import patched_settings

    with patched_settings({"CAMELIZE_NAMES": True, "TITLE": "another"}):
        assert documents.document() is documents.document()
        documents._made.cache_clear()
        assert documents.document() == schema


def test_the_page_and_its_files_come_from_here(db):
    client = Client()
    page = client.get("/api/v1/docs")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    named = re.findall(r'(?:src|href|data-schema)="([^"]+)"', page.content.decode())
    assert named
    assert all(name.startswith("/api/v1/") for name in named)
    for name in named:
        found = client.get(name)
        assert (found.status_code, bool(found.content)) == (200, True), name
    for name in ("../settings.py", "swagger-ui.js", "LICENSE"):
        problem_of(client.get(f"/api/v1/docs/{name}"), 404, "not_found")
