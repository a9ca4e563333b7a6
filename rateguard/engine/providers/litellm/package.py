"""The installed `litellm`, loaded at its first use: it takes seconds, so a thread does it."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from rateguard.engine.errors import ConfigurationError


async def load() -> Any:
    """The module. Raises ConfigurationError where it is not installed."""
    return await asyncio.to_thread(_load)


def _load() -> Any:
    try:
        return importlib.import_module("litellm")
    except ImportError as error:
        raise ConfigurationError(
            "the provider litellm needs the package of that name, which rateguard does not bring: pip install litellm"
        ) from error
