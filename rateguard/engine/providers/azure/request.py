"""A request on Azure's wire. Source: the official SDK (classic form) and Microsoft's pages; the form without a version is not verified.

classic: {base}/openai/deployments/{deployment}/chat/completions?api-version=2024-10-21
v1:      {base}/openai/v1/chat/completions, with the deployment as the model
"""

from __future__ import annotations

from urllib.parse import quote

from rateguard.engine.providers.azure.options import Options
from rateguard.engine.providers.base import Endpoint, Request, Target, Wire
from rateguard.engine.providers.openai.limits import AZURE_LIMITS
from rateguard.engine.providers.openai.quirks import PATHS, Quirks
from rateguard.engine.providers.openai.request import headers_for, write_body

QUIRKS = Quirks(
    key_header="api-key",
    key_prefix="",
    asks_no_padding=False,
    dimensions_of=("text-embedding-3",),
    limits=AZURE_LIMITS,
)
_WITHOUT_DEPLOYMENT = frozenset({Endpoint.RESPONSES})


def write(target: Target, options: Options, request: Request, *, is_streamed: bool) -> Wire:
    """The request at the deployment. With Entra its token is added by `authorize`."""
    headers = headers_for(target, request, QUIRKS, is_streamed=is_streamed)
    if options.is_entra:
        headers.pop(QUIRKS.key_header, None)
    body = write_body(target, request, QUIRKS, is_streamed=is_streamed)
    return Wire(_url(target, options, request.endpoint), headers, body, is_encoded=True)


def base_of(target: Target) -> str:
    """The resource's address, also where the account's base URL goes on behind it as Azure's pages show it."""
    base = target.base_url.rstrip("/")
    for ending in ("/openai/v1", "/openai"):
        base = base.removesuffix(ending)
    return base


def _url(target: Target, options: Options, endpoint: Endpoint) -> str:
    base, path = base_of(target), PATHS[endpoint]
    if not options.api_version:
        return f"{base}/openai/v1{path}"
    place = "" if endpoint in _WITHOUT_DEPLOYMENT else f"/deployments/{quote(target.upstream_model, safe='')}"
    return f"{base}/openai{place}{path}?api-version={options.api_version}"
