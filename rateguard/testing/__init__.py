"""Canned answers for the tests of projects that use rateguard: no Redis, no worker, no provider, no models and tenants to make.

    from rateguard.testing import answers

    with answers() as llm:
        llm.on("rivers", "Danube, Rhine, Elbe")
        llm.fails("boom", code="bad_request")
        assert str(complete.delay("Name three rivers", model="any").get()) == "Danube, Rhine, Elbe"
        assert llm.count("rivers") == 1

`llm` is a fixture for pytest with such a block around the test; `WithAnswers` gives a TestCase `self.llm`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rateguard.testing.asked import Asked
    from rateguard.testing.canned import Answers, Unanswered, answers
    from rateguard.testing.cases import WithAnswers
    from rateguard.testing.plugin import llm

_PLACES = {
    "Answers": "rateguard.testing.canned",
    "Asked": "rateguard.testing.asked",
    "Unanswered": "rateguard.testing.canned",
    "WithAnswers": "rateguard.testing.cases",
    "answers": "rateguard.testing.canned",
    "llm": "rateguard.testing.plugin",
}

__all__ = ["Answers", "Asked", "Unanswered", "WithAnswers", "answers", "llm"]


def __getattr__(name: str) -> Any:
    """Load a name at its first use: pytest loads the plugin in here before Django is set up, and need not be there itself."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = found
    return found
