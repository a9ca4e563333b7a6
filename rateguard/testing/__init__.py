"""Canned answers for the tests of projects that use rateguard: no Redis, no worker, no provider, no models and tenants to make.

    from rateguard.testing import answers

    with answers() as llm:
        llm.on("rivers", "Danube, Rhine, Elbe")
        llm.fails("boom", code="bad_request")
        assert str(complete.delay("Name three rivers", model="any").get()) == "Danube, Rhine, Elbe"
        assert llm.count("rivers") == 1

`llm` is a fixture for pytest with such a block around the test; `WithAnswers` gives a TestCase `self.llm`.
"""

from typing import TYPE_CHECKING, Any

from rateguard.testing.answers import Answers, Unanswered, answers
from rateguard.testing.asked import Asked
from rateguard.testing.cases import WithAnswers

if TYPE_CHECKING:
    from rateguard.testing.plugin import llm

__all__ = ["Answers", "Asked", "Unanswered", "WithAnswers", "answers", "llm"]


def __getattr__(name: str) -> Any:
    """The fixture is made when it is asked for: pytest need not be there."""
    if name != "llm":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rateguard.testing.plugin import llm  # noqa: PLC0415 -- see above

    return llm
