"""httpx2, which official clients send with, or httpx, which their older versions do: whichever is there, loaded at the first use."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any

from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.transport.attempt import Attempt, broken

NAMES = ("httpx2", "httpx")
"""In the order in which they are looked for."""


@functools.cache
def library(name: str | None = None) -> ModuleType:
    """The module. Raises ConfigurationError where it is not installed."""
    for one in NAMES if name is None else (name,):
        if one not in NAMES:
            raise ConfigurationError(f"library is one of {' and '.join(NAMES)}, not {one!r}")
        try:
            return importlib.import_module(one)
        except ImportError:
            continue
    wanted = " or ".join(NAMES if name is None else (name,))
    raise ConfigurationError(f"the transport sends with {wanted}, which comes with the official client: pip install openai (or anthropic)")


def as_broken(module: Any, error: Exception, attempt: Attempt) -> ProviderError:
    """What an exception of the library means: whether the request had left, and what it was."""
    unsent = (module.ConnectError, module.ConnectTimeout, module.PoolTimeout, module.UnsupportedProtocol, module.ProxyError)
    if isinstance(error, unsent) and attempt.sent_at is None:
        return broken(ErrorKind.CONNECT, error, within="the connection")
    is_timeout = isinstance(error, module.TimeoutException)
    return broken(ErrorKind.TIMEOUT if is_timeout else ErrorKind.NETWORK, error, within="the call")


@functools.cache
def made_for(module: Any, own: type[Any], base: str) -> type[Any]:
    """A class of ours as one of the library's: `base` is the name that it has there."""
    return type(own.__name__, (own, getattr(module, base)), {"__doc__": own.__doc__})
