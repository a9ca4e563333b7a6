"""What a deployment's option `capabilities` says of its model, by feature: `{"tools": false}` for one that has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.capabilities import Capabilities, Feature


def changed(known: Capabilities, told: Any) -> Capabilities:
    """The provider's capabilities with those of the option over them. Raises ConfigurationError for a word that is no feature."""
    words = told if isinstance(told, Mapping) else {str(told): True}
    every = {feature.value for feature in Feature}
    if unknown := sorted(str(word) for word in words if word not in every):
        raise ConfigurationError(f"the option capabilities has no {', '.join(unknown)}; it has {', '.join(sorted(every))}")
    granted = {Feature(word) for word, has in words.items() if has}
    denied = {Feature(word) for word, has in words.items() if not has}
    return dataclasses.replace(known, features=(known.features | granted) - denied)
