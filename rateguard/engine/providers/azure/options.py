"""What an account or a deployment of Azure says beside its key and base URL (`options`).

api_version: the date of the classic form, where the deployment stands in the path; left out, or `v1`, for the form without a version.
auth: `key`, or `entra`. cloud: `public`, `government` or `china`, for `entra`. base_model: which model a deployment is, where its name does
not say so: decides what it can and costs; `model` is its older word, for what it can alone.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.azure.clouds import CLOUDS, Cloud
from rateguard.engine.providers.base import Target

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_WAYS = ("key", "entra")


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """api_version: "" for the form without one. model: the deployment's name where nothing else is said."""

    api_version: str
    is_entra: bool
    cloud: Cloud
    model: str


def options_of(target: Target) -> Options:
    """Raises ConfigurationError, which names the option and what to write."""
    given: Mapping[str, Any] = target.options
    version = given.get("api_version") or ""
    if version == "v1":
        version = ""
    if version and (not isinstance(version, str) or not _VERSION.fullmatch(version)):
        raise ConfigurationError(f"the option api_version of an Azure account is {version!r}: write a date like 2024-10-21, or v1")
    auth, cloud = given.get("auth", "key"), given.get("cloud", "public")
    if auth not in _WAYS:
        raise ConfigurationError(f"the option auth of an Azure account is {auth!r}: write key or entra")
    if cloud not in CLOUDS:
        raise ConfigurationError(f"the option cloud of an Azure account is {cloud!r}: write {', '.join(CLOUDS)}")
    return Options(version, auth == "entra", CLOUDS[cloud], str(given.get("base_model") or given.get("model") or target.upstream_model))
