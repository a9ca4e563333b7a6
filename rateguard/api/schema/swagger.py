"""Swagger UI over the schema: a page and its files, all from this process. Nothing loads from another address."""

from __future__ import annotations

import functools
import html
from importlib import resources

from django.http import HttpResponse
from django.urls import reverse
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from rateguard.api.door import ApiView
from rateguard.api.schema.describing import TITLE

_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_PLACE = "static/drf_spectacular_sidecar/swagger-ui-dist"
_A_DAY = "public, max-age=86400"
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"

_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <link rel="icon" type="image/png" href="{files}favicon-32x32.png">
  <link rel="stylesheet" href="{files}swagger-ui.css">
  <link rel="stylesheet" href="{files}page.css">
</head>
<body>
  <div id="page" data-schema="{schema}"></div>
  <script src="{files}swagger-ui-bundle.js"></script>
  <script src="{files}page.js"></script>
</body>
</html>
"""
_SCRIPT = """const page = document.getElementById("page");
SwaggerUIBundle({
  url: page.dataset.schema,
  domNode: page,
  deepLinking: true,
  persistAuthorization: false,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  tryItOutEnabled: false,
});
"""
_STYLE = """body { margin: 0; background: #fff; }
.swagger-ui .info { margin: 32px 0 24px; }
.swagger-ui .scheme-container { box-shadow: none; padding: 0 0 16px; }
.swagger-ui .scheme-container .schemes > .schemes-server-container { display: none; }
.swagger-ui .scheme-container .schemes { justify-content: flex-end; }
"""
_WRITTEN = {"page.js": (_SCRIPT, "text/javascript"), "page.css": (_STYLE, "text/css")}


class SwaggerPage(ApiView):
    """GET: the schema as a page to read and to try."""

    authentication_classes = ()
    permission_classes = ()
    http_method_names = ("get", "head")

    def get(self, request: Request) -> HttpResponse:
        """HTML."""
        files = reverse("rateguard:swagger-file", args=["x"]).removesuffix("x")
        page = _PAGE.format(title=f"{TITLE}: the API", files=html.escape(files), schema=html.escape(reverse("rateguard:schema")))
        return HttpResponse(page, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})


class SwaggerFile(ApiView):
    """GET: a file of that page."""

    authentication_classes = ()
    permission_classes = ()
    http_method_names = ("get", "head")

    def get(self, request: Request, name: str) -> HttpResponse:
        """One of the files that the page names. Raises NotFound for every other."""
        if name in _WRITTEN:
            text, content_type = _WRITTEN[name]
            return HttpResponse(text, content_type=f"{content_type}; charset=utf-8")
        if name not in _FILES:
            raise NotFound
        return HttpResponse(_content(name), content_type=_FILES[name], headers={"Cache-Control": _A_DAY})


@functools.cache
def _content(name: str) -> bytes:
    """A file of drf-spectacular-sidecar."""
    return resources.files("drf_spectacular_sidecar").joinpath(_PLACE, name).read_bytes()
