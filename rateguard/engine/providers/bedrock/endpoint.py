"""Where a request goes, and in which region: the URL of a model's operation."""

from __future__ import annotations

import functools
import re
from urllib.parse import quote, urlsplit

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.base import Target

_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d"
_OF_AWS = re.compile(rf"^(?P<service>bedrock-runtime(?:-fips)?)\.(?P<region>{_REGION})\.(?P<domain>amazonaws\.com(?:\.cn)?|api\.aws)$")
_REGION_IN_HOST = re.compile(rf"\.(?P<region>{_REGION})\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)$")
_BEDROCK_AT_AWS = re.compile(
    rf"^(?:vpce-[a-z0-9-]+\.)?bedrock(?:-runtime)?(?:-fips)?\.{_REGION}\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)$"
)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def region_of(target: Target) -> str:
    """The region that a request is signed for: the deployment's, else that of the base URL. Raises ConfigurationError."""
    return _region(target.region, target.base_url)


@functools.lru_cache(maxsize=1024)
def _region(region: str, base_url: str) -> str:
    found = region or _in_host(base_url)
    if not found:
        raise ConfigurationError(
            "give the Bedrock deployment a region such as us-east-1, or its account the base URL https://bedrock-runtime.us-east-1.amazonaws.com"
        )
    return found


def _in_host(base_url: str) -> str:
    named = _REGION_IN_HOST.search(urlsplit(base_url).hostname or "")
    return named["region"] if named else ""


def base_url_of(target: Target) -> str:
    """The account's base URL; of AWS's own hosts the one in the deployment's region; without one, that region's public host."""
    return _base_url(target.region, target.base_url)


@functools.lru_cache(maxsize=1024)
def _base_url(region: str, base_url: str) -> str:
    if not base_url:
        region = _region(region, "")
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"https://bedrock-runtime.{region}.{domain}"
    parts = urlsplit(base_url)
    named = _OF_AWS.match(parts.hostname or "")
    if named and region and region != named["region"]:
        return f"{parts.scheme}://{named['service']}.{region}.{named['domain']}"
    return base_url.rstrip("/")


def url_of(target: Target, operation: str) -> str:
    """The whole URL, its path encoded as Bedrock wants it: each model id is one segment, with %3A and %2F."""
    return _url(target.region, target.base_url, target.upstream_model, operation)


@functools.lru_cache(maxsize=1024)
def _url(region: str, base_url: str, model_id: str, operation: str) -> str:
    return f"{_base_url(region, base_url)}/model/{quote(model_id, safe='')}/{operation}"


@functools.lru_cache(maxsize=1024)
def is_of_aws(url: str) -> bool:
    """Whether a URL leads to Bedrock at AWS (or to this machine): nobody else is sent what this machine itself is trusted with.

    Not any host of AWS's: customers have names under amazonaws.com too.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return host in _LOOPBACK or (parts.scheme == "https" and bool(_BEDROCK_AT_AWS.match(host)))
