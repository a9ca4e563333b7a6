"""rateguard: LLM work from many tenants, done under limits, in a fair order, without losing a job or a cent.

from rateguard import complete, embed, run, context
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_ERRORS = ("InvalidRequest", "JobDoesNotExist", "JobFailed", "JobNotCommitted", "LimitInTheWay", "NotAllowed", "RateguardError")
_PLACES = {
    "APPS": "rateguard.embedding",
    "Completion": "rateguard.jobs.ends.completion",
    "celery_settings": "rateguard.embedding",
    "complete": "rateguard.python.delay",
    "context": "rateguard.python.context",
    "embed": "rateguard.python.delay",
    "run": "rateguard.python.within",
    "waits": "rateguard.api.layers.waiting",
    **dict.fromkeys(_ERRORS, "rateguard.engine.errors"),
}
_MODULES = ("transport",)
"""Public modules: `rateguard.transport` needs no import of its own."""

__all__ = [
    "APPS",
    "Completion",
    "InvalidRequest",
    "JobDoesNotExist",
    "JobFailed",
    "JobNotCommitted",
    "LimitInTheWay",
    "NotAllowed",
    "RateguardError",
    "__version__",
    "celery_settings",
    "complete",
    "context",
    "embed",
    "run",
    "transport",
    "waits",
]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use: Django is not needed for the engine, nor ready while apps load."""
    if name in _MODULES:
        return importlib.import_module(f"rateguard.{name}")  # which binds the name
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
