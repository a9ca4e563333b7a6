"""A plugin of pytest: runs the tests that a plan names, in its order, and writes down what it saw. The plan is a file, named in PLAN."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

PLAN = "MUTATION_PLAN"
LEAST_TIMEOUT_S, TIMES_AS_LONG = 15, 8
"""A test that takes so long, and so many times as long as on the sound engine, is in an endless loop."""

TWINS = {"memory", "redis"}


def twin_driven(item: pytest.Item) -> str:
    """The only twin that a test drives, by its parameters; "" where it drives both or none."""
    callspec = getattr(item, "callspec", None)
    named = {value for value in callspec.params.values() if isinstance(value, str)} & TWINS if callspec else set()
    return named.pop() if len(named) == 1 else ""


class Asking:
    """The order of the plan ({name: seconds}; none: all tests), and what was seen: seconds and twin of each test, the first that failed."""

    def __init__(self, order: dict[str, float] | None, report: Path) -> None:
        self._order = order
        self._report = report
        self._twins: dict[str, str] = {}
        self._seconds: dict[str, float] = {}
        self._skipped: set[str] = set()
        self._failed = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self._twins = {item.nodeid: twin_driven(item) for item in items}
        if self._order is None:
            return
        places = {name: place for place, name in enumerate(self._order)}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in places])
        items[:] = sorted((item for item in items if item.nodeid in places), key=lambda item: places[item.nodeid])
        for item in items:
            seconds = max(LEAST_TIMEOUT_S, TIMES_AS_LONG * self._order[item.nodeid])
            item.add_marker(pytest.mark.timeout(seconds), append=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0) + report.duration
        if report.skipped:
            self._skipped.add(report.nodeid)
        if report.failed:
            self._failed = self._failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed = self._failed or report.nodeid or "loading"

    def pytest_sessionfinish(self) -> None:
        tests = [[name, seconds, self._twins.get(name, "")] for name, seconds in self._seconds.items() if name not in self._skipped]
        self._report.write_text(json.dumps({"tests": tests, "failed": self._failed}))


def pytest_configure(config: pytest.Config) -> None:
    plan = json.loads(Path(os.environ[PLAN]).read_text())
    config.pluginmanager.register(Asking(plan["order"], Path(plan["report"])))
