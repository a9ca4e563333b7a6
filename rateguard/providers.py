"""The providers that accounts may name: those that come along, and the project's own (`RATEGUARD["PROVIDERS"]`)."""

from __future__ import annotations

from collections.abc import Mapping

from rateguard.conf import conf
from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.compatible.presets import Preset, parse_preset
from rateguard.engine.providers.registry import PROVIDERS


def known() -> Mapping[str, str | Preset]:
    """Name → the dotted path of a class, or a preset. Raises ConfigurationError where the settings are wrong."""
    own = conf().providers
    return {**PROVIDERS, **own} if own else PROVIDERS


def names() -> list[str]:
    """In order. Where the settings are wrong, those that come along alone: the start says what is wrong."""
    try:
        return sorted(known())
    except ConfigurationError:
        return sorted(PROVIDERS)


def preset_of(name: str) -> Preset:
    """A provider's preset; an empty one for what has none, and for a name that there is not."""
    found = known().get(name)
    return found if isinstance(found, Preset) else _NO_PRESET


_NO_PRESET = parse_preset("", {})


def choices() -> list[tuple[str, str]]:
    """For a form."""
    return [(name, name) for name in names()]
