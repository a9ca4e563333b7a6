"""Bedrock's list of models: GET /foundation-models on the control plane's host, free of charge.

It wants the permission bedrock:ListFoundationModels, which a role may lack that may call models: its 403 says nothing of the calls then. A
private endpoint or a proxy has no such page. Source: botocore's service model of `bedrock`.
"""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import orjson

from rateguard.engine.providers.base import Target
from rateguard.engine.providers.bedrock.endpoint import base_url_of, is_of_aws, region_of
from rateguard.engine.providers.bedrock.secret import Bearer, Keys
from rateguard.engine.providers.bedrock.signing import signed_headers
from rateguard.engine.providers.probe import Probe

_RUNTIME, _CONTROL = "bedrock-runtime", "bedrock"


def url_of_models(target: Target) -> str:
    """The page's URL; "" where the base URL is not one of AWS's public hosts."""
    url = base_url_of(target)
    service, _, rest = (urlsplit(url).hostname or "").partition(".")
    if not service.startswith(_RUNTIME) or not is_of_aws(url):
        return ""
    return f"https://{service.replace(_RUNTIME, _CONTROL)}.{rest}/foundation-models"


def probe_with(held: Keys | Bearer, target: Target, url: str) -> Probe:
    """The request, signed now."""
    headers = {"Accept": "application/json", "User-Agent": "rateguard"}
    if isinstance(held, Bearer):
        return Probe(url, {**headers, "Authorization": f"Bearer {held.token}"}, names_in_summaries)
    signed = signed_headers(held, region_of(target), url, headers, b"", time.time(), method="GET")
    return Probe(url, signed, names_in_summaries)


def names_in_summaries(body: bytes) -> tuple[str, ...]:
    """The ids of the models; inference profiles are not among them."""
    try:
        return tuple(sorted(str(one["modelId"]) for one in orjson.loads(body)["modelSummaries"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ()
