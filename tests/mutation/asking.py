"""A plugin of pytest. It collects the suite once and then, for each request, runs the tests that it names in a fork, in its order.

Requests come as JSON, one a line, on standard input; the answers, pytest's exit codes or TOO_LONG, go to the file descriptor in ANSWERS.
Without ANSWERS it runs one request, which stands in the file named by REQUEST.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import signal
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from hypothesis.internal.conjecture import engine

from tests.mutation.swapping import swap

ENGINE = Path("rateguard/engine")
ANSWERS, REQUEST = "MUTATION_ANSWERS", "MUTATION_REQUEST"
TOO_LONG, CANNOT_SWAP = -1, 90
LEAST_TIMEOUT_S, TIMES_AS_LONG = 15, 10
"""A test that takes so long, and so many times as long as on the sound engine, is in an endless loop."""

MOST_MEMORY = 8 << 30
TWINS = {"memory", "redis"}


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One run. order: the tests with their seconds on the sound engine, None: all. folder: for its log, its report and its servers.

    without: texts; tests whose name holds one are left out. swap: file and name of the function whose code is the file's own from now on.
    """

    order: dict[str, float] | None
    folder: str
    limit_s: float
    without: tuple[str, ...] = ()
    swap: tuple[str, str] | None = None

    @property
    def report(self) -> Path:
        return Path(self.folder) / "report"


def twin_driven(item: pytest.Item) -> str:
    """The only twin that a test drives, by its parameters; "" where it drives both or none."""
    callspec = getattr(item, "callspec", None)
    named = {value for value in callspec.params.values() if isinstance(value, str)} & TWINS if callspec else set()
    return named.pop() if len(named) == 1 else ""


class Traced:
    """Which functions of the engine run meanwhile, as `gate/room.py:Room.park`."""

    def __init__(self, engine: Path) -> None:
        self._engine = str(engine) + os.sep
        self._codes: set[types.CodeType] = set()

    def __enter__(self) -> Self:
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _on_call(self, frame: types.FrameType, event: str, arg: object) -> None:
        self._codes.add(frame.f_code)

    def functions(self) -> set[str]:
        """Of a function inside another, the outermost."""
        ours = [code for code in self._codes if code.co_filename.startswith(self._engine)]
        return {f"{code.co_filename.removeprefix(self._engine)}:{code.co_qualname.partition('.<locals>')[0]}" for code in ours}


class Asking:
    """Runs requests, and notes what it sees: seconds, twin and functions of each test, the first that failed."""

    def __init__(self) -> None:
        self._request: Request | None = None
        self._functions: dict[str, list[str]] = {}
        self._twins: dict[str, str] = {}
        self._seconds: dict[str, float] = {}
        self._skipped: set[str] = set()
        self._failed = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """In the first process: serve until the requests end, and run nothing. In a fork: go on to pytest's own loop."""
        self._twins = {item.nodeid: twin_driven(item) for item in session.items}
        if ANSWERS not in os.environ:
            self._begin(session, Request(**json.loads(Path(os.environ[REQUEST]).read_text())))
            return None
        answers = int(os.environ[ANSWERS])
        for line in sys.stdin:
            request = Request(**json.loads(line))
            child = os.fork()
            if child == 0:
                _enter_fork(request)
                self._begin(session, request)
                return None
            os.write(answers, b"%d\n" % _wait_for(child, request.limit_s))
        return True

    def _begin(self, session: pytest.Session, request: Request) -> None:
        self._request = request
        if request.order is None:
            session.items[:] = [item for item in session.items if not any(text in item.nodeid for text in request.without)]
            return
        places = {name: place for place, name in enumerate(request.order)}
        session.items[:] = sorted((item for item in session.items if item.nodeid in places), key=lambda item: places[item.nodeid])
        for item in session.items:
            seconds = max(LEAST_TIMEOUT_S, TIMES_AS_LONG * request.order[item.nodeid])
            item.add_marker(pytest.mark.timeout(seconds), append=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        if self._request is None or self._request.order is not None:
            return (yield)
        with Traced(item.config.rootpath / ENGINE) as traced:
            result = yield
        self._functions[item.nodeid] = sorted(traced.functions())
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0) + report.duration
        if report.skipped:
            self._skipped.add(report.nodeid)
        if report.failed:
            self._failed = self._failed or report.nodeid

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write what was seen; a fork ends here, and with it its servers."""
        if self._request is None:
            return
        names = [name for name in self._seconds if name not in self._skipped]
        tests = [[name, self._seconds[name], self._twins.get(name, ""), self._functions.get(name, [])] for name in names]
        self._request.report.write_text(json.dumps({"tests": tests, "failed": self._failed}))
        if ANSWERS in os.environ:
            os._exit(int(exitstatus))


def _enter_fork(request: Request) -> None:
    engine.MAX_SHRINKING_SECONDS = 0  # that a test fails is enough
    log = os.open(f"{request.folder}/log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    if request.swap and not swap(Path(request.swap[0]), Path(request.swap[0]).read_text(encoding="utf-8"), request.swap[1]):
        os._exit(CANNOT_SWAP)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    environment = sys.modules.get("tests.environment")
    if environment:
        environment.VALKEY = environment.start_valkey(Path(request.folder) / "valkey")


def _wait_for(child: int, limit_s: float) -> int:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TOO_LONG


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Asking())
