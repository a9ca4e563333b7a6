"""A request on Vertex AI's wire: Gemini's bodies, Google Cloud's addresses and headers. The token is added when it leaves.

The tier stands in the body, as google-genai 3.4 writes it; other clients ask for it by a header of Vertex's own (not verified).
"""

from __future__ import annotations

import orjson

from rateguard.engine.providers.base import Endpoint, Request, Target, Wire
from rateguard.engine.providers.gemini.counting import counted_part
from rateguard.engine.providers.gemini.request import verb, wire_of, write_body
from rateguard.engine.providers.vertex import embeddings
from rateguard.engine.providers.vertex.addresses import address_of, project_name
from rateguard.engine.providers.vertex.secrets import Kind, parse


def write(target: Target, request: Request, *, is_streamed: bool) -> Wire:
    """The request as Vertex AI takes it. Raises InvalidRequest, ConfigurationError."""
    if request.endpoint is Endpoint.EMBEDDINGS:
        what, body = embeddings.write(target, request.body)
        return Wire(address_of(target, what), headers_for(target), orjson.dumps(body))
    url = address_of(target, verb(is_streamed))
    return wire_of(url, headers_for(target), write_body(target, request), is_streamed=is_streamed)


def write_count(target: Target, request: Request) -> Wire:
    """The question how many tokens a chat's input has."""
    body = counted_part(write_body(target, request))
    return Wire(address_of(target, "countTokens"), headers_for(target), orjson.dumps(body))


def headers_for(target: Target) -> dict[str, str]:
    """Who calls, where that is known beforehand; and whose quota it uses (option `quota_project`), if it is not the project's own."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "rateguard"}
    if parse(target.api_key).kind is Kind.KEY:
        headers["x-goog-api-key"] = target.api_key.strip()
    if quota_project := target.options.get("quota_project"):
        headers["x-goog-user-project"] = project_name(quota_project)
    return headers
