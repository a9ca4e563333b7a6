"""The schema as a document: OpenAPI 3.1 of everything under /api/v1, made once a process, as JSON and as YAML."""

from __future__ import annotations

import functools
import threading
from typing import Any, cast

import orjson
import yaml
from django.http import HttpResponse
from django.urls import get_script_prefix, include, path, reverse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import SPECTACULAR_DEFAULTS, patched_settings
from drf_spectacular.utils import OpenApiResponse
from rest_framework.request import Request

from rateguard.api.door import ApiView
from rateguard.api.schema.describing import TAGS, TITLE, extend_schema

VERSION = "1.0.0"
JSON, YAML = "application/json", "application/yaml"
DESCRIPTION = """Submit work for language models, wait for it, and see what it costs and which limit is in the way.

Send `Authorization: Bearer` and an API key. Errors are problems as RFC 9457 describes them: compare their `code`. An object may get
further fields at any time; a field is never taken away or given another meaning under /v1.
"""
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "application/vnd.oai.openapi")
_KEPT = {name: value for name, value in SPECTACULAR_DEFAULTS.items() if not name.startswith("SERVE_") and name != "DEFAULT_GENERATOR_CLASS"}
_OURS = {
    "TITLE": TITLE,
    "DESCRIPTION": DESCRIPTION,
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "TAGS": [{"name": name, "description": text} for name, text in TAGS.items()],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": [],
    "SCHEMA_PATH_PREFIX": "",
    "SORT_OPERATION_PARAMETERS": False,
}
_one_at_a_time = threading.Lock()


def document() -> dict[str, Any]:
    """The schema of the addresses as they are mounted here, whatever SPECTACULAR_SETTINGS a host project has."""
    prefix = get_script_prefix()
    return _made(prefix, reverse("rateguard:jobs").removeprefix(prefix).removesuffix("v1/jobs"))


@functools.cache
def _made(prefix: str, mount: str) -> dict[str, Any]:
    with _one_at_a_time, patched_settings({**_KEPT, **_OURS, "SERVERS": [{"url": prefix.rstrip("/") or "/"}]}):
        generator: Any = SchemaGenerator(patterns=[path(mount, include("rateguard.api.urls"))])  # type: ignore[no-untyped-call]
        made = generator.get_schema(request=None, public=True)
    return cast("dict[str, Any]", _without_marks(made))


def _without_marks(value: Any) -> Any:
    """drf-spectacular marks enums for a step that we leave out."""
    if isinstance(value, dict):
        return {name: _without_marks(item) for name, item in value.items() if name != "x-spec-enum-id"}
    return [_without_marks(item) for item in value] if isinstance(value, list) else value


def _written(media_type: str) -> bytes:
    """The document as text."""
    key = (get_script_prefix(), media_type)
    if key not in _texts:
        _texts[key] = orjson.dumps(document()) if media_type == JSON else _as_yaml(document())
    return _texts[key]


_texts: dict[tuple[str, str], bytes] = {}


def _as_yaml(made: dict[str, Any]) -> bytes:
    return yaml.dump(made, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120).encode()


class _PlainDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # the quick one where libyaml is there
    """YAML without anchors: what is said twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True


class SchemaDocument(ApiView):
    """GET: this API's schema. Everyone may read it."""

    authentication_classes = ()
    permission_classes = ()
    http_method_names = ("get", "head")
    media_type = ""
    """What this address answers; empty: what Accept asks for."""

    @extend_schema(
        operation_id="get_schema",
        summary="The schema of this API",
        tags=["schema"],
        responses={
            (200, JSON): OpenApiResponse({"type": "object"}, description="OpenAPI 3.1."),
            (200, YAML): OpenApiResponse({"type": "object"}, description="OpenAPI 3.1."),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """JSON, or YAML where Accept names it and not JSON. `schema.json` and `schema.yaml` answer the same by name."""
        media_type = self.media_type or _accepted(request.headers.get("Accept", ""))
        return HttpResponse(_written(media_type), content_type=media_type, headers={"Vary": "Accept"})


def _accepted(accept: str) -> str:
    wants_yaml = any(name in accept for name in _YAML_TYPES) and JSON not in accept
    return YAML if wants_yaml else JSON
