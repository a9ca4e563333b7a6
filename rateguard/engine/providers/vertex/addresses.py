"""Where Vertex AI is asked. Sources: google-genai 3.4, anthropic 2.12.

An account's base URL that ends in `aiplatform.googleapis.com` is only the name of the service: each location has a host of its own,
`global` and the multi-regions others. Any other base URL (a private endpoint, a proxy) is taken as it is.
"""

from __future__ import annotations

import re
import urllib.parse

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.gemini.request import versioned
from rateguard.engine.providers.vertex.secrets import Kind, parse

SERVICE = "aiplatform.googleapis.com"
MULTI_REGIONS = frozenset({"us", "eu"})
DEFAULT_VERSION = "v1beta1"
"""As google-genai 3 calls it; the option `api_version` says otherwise."""

_LOCATION = re.compile(r"[a-z0-9-]{1,40}")
_PROJECT = re.compile(r"[A-Za-z0-9.:-]{1,100}")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def location_of(target: Target) -> str:
    """The deployment's region, else the option `location`, else `global`. Raises ConfigurationError for what can be none."""
    location = target.region or str(target.options.get("location") or "global")
    if not _LOCATION.fullmatch(location):
        raise ConfigurationError("a region of Vertex AI is a word such as global, eu or europe-west4")
    return location


def is_google(url: str) -> bool:
    """Whether an address is Vertex AI's own, or on this machine: nothing else may see a token of this machine's."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    is_ours = host == SERVICE or host.endswith(f"-{SERVICE}") or (host.startswith("aiplatform.") and host.endswith(".rep.googleapis.com"))
    return (is_ours and parts.scheme == "https") or host in _LOOPBACK


def host_of(target: Target) -> str:
    """The base URL for the deployment's location."""
    base = target.base_url.rstrip("/")
    host = urllib.parse.urlsplit(base).hostname or ""
    if not (host == SERVICE or host.endswith(f"-{SERVICE}")):
        return base
    location = location_of(target)
    if location == "global":
        return f"https://{SERVICE}"
    return f"https://aiplatform.{location}.rep.googleapis.com" if location in MULTI_REGIONS else f"https://{location}-{SERVICE}"


def address_of(target: Target, what: str, *, publisher: str = "google", version: str = "") -> str:
    """The whole address of something asked of a model. With an API key alone no project stands in it: Google knows it.

    A model's name that has a slash says itself where it lies (`projects/…/endpoints/…`, `publishers/…`).
    """
    model = urllib.parse.quote(target.upstream_model, safe="/@:-._")
    path = model if "/" in model else f"publishers/{publisher}/models/{model}"
    project = project_of(target)
    if project and not path.startswith("projects/"):
        path = f"projects/{urllib.parse.quote(project, safe=':')}/locations/{location_of(target)}/{path}"
    return f"{_base_of(target, version)}/{path}:{what}"


def models_page(target: Target) -> str:
    """The list of Google's models. Source: google-genai 3.4."""
    return f"{_base_of(target)}/publishers/google/models?pageSize=1000"


def _base_of(target: Target, version: str = "") -> str:
    return versioned(host_of(target), str(target.options.get("api_version") or version or DEFAULT_VERSION))


def project_of(target: Target) -> str:
    """The option `project`, else the one that the secret names; "" with an API key alone. Raises ConfigurationError where it is missing."""
    secret = parse(target.api_key)
    project = str(target.options.get("project") or secret.project)
    if not project and secret.kind is not Kind.KEY:
        raise ConfigurationError("a Vertex AI account needs a project: put the option `project` on the account or the deployment")
    return project and project_name(project)


def project_name(told: object) -> str:
    """A project's id or number. Raises ConfigurationError for what can be none."""
    if not _PROJECT.fullmatch(str(told)):
        raise ConfigurationError("a project of Google Cloud is an id such as acme-1, or a number")
    return str(told)
