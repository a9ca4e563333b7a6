"""rateguard: LLM work from many tenants, done under limits, in a fair order, without losing a job or a cent.

from rateguard import complete, embed, run
"""

import importlib
from typing import Any

_PLACES = {
    "complete": "rateguard.jobs.delay",
    "embed": "rateguard.jobs.delay",
    "run": "rateguard.jobs.within",
    "InvalidRequest": "rateguard.engine.errors",
    "JobFailed": "rateguard.engine.errors",
    "RateguardError": "rateguard.engine.errors",
}

__all__ = ["InvalidRequest", "JobFailed", "RateguardError", "complete", "embed", "run"]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use: Django is not needed for the engine, nor ready while apps load."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
