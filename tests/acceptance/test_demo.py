"""The demo as a person starts it: it ends well, says so in figures, and leaves nothing behind, however it is ended."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rateguard.demo.workload import TENANTS
from tests.clicking import clicked
from tests.simprovider import wait_for

PROJECT = Path(__file__).parents[2]
KEYS = {
    "jobs",
    "succeeded",
    "failed",
    "unfinished",
    "provider_requests",
    "provider_429",
    "worst_window_ratio",
    "binding_limit",
    "limit_utilisation",
    "ledger_difference_nano_usd",
    "tenants",
    "setup_s",
    "run_s",
}
TENANT_KEYS = {"jobs", "tokens", "cost_nano_usd", "p50_ms", "p95_ms", "share"}

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the demo's processes in /proc"),
]


class Demo:
    """A demo in its own process, whose state and whose processes are to be known by its own temporary folder."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.log = folder.parent / "demo.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo", *arguments],
                cwd=PROJECT,
                env={**os.environ, "TMPDIR": str(folder), "RATEGUARD_BOOTSTRAP": "0"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until_it_says(self, text: str) -> None:
        wait_for(lambda: text in self.said() or self.process.poll() is not None, 90)
        assert text in self.said()

    def processes(self) -> set[int]:
        """Whatever carries the demo's folder in its environment: the demo, its children, and what they started."""
        mark = f"TMPDIR={self.folder}".encode()
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                lives_here = (entry / "cwd").readlink().is_relative_to(self.folder)  # a server that renames itself has lost its environment
                if lives_here or mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
        return found

    def ends(self, within_s: float = 60) -> int:
        """Its exit code, once it and all of its processes are gone."""
        code = self.process.wait(within_s)
        wait_for(lambda: not self.processes(), 5)
        return code


@pytest.fixture
def start(tmp_path):
    folder = tmp_path / "tmp with a space"
    folder.mkdir()
    started = []

    def start(*arguments):
        started.append(Demo(folder, *arguments))
        return started[-1]

    yield start
    for demo in started:
        demo.process.kill()
        demo.process.wait()
        with contextlib.suppress(AssertionError):  # what its death does not end is ended here
            wait_for(lambda demo=demo: not demo.processes(), 5)
        for pid in demo.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def assert_nothing_is_left(demo):
    assert demo.processes() == set()
    assert list(demo.folder.iterdir()) == []


def test_a_run_ends_well_and_tells_its_figures_in_the_last_line(start):
    demo = start("--exit", "--jobs", "50", "--json")

    assert demo.ends(150) == 0, demo.said()
    *_, books, last = demo.said().splitlines()
    figures = json.loads(last)
    assert books == "0 lost, 0 estimated entries corrected, books differ by $0"
    assert set(figures) == KEYS
    assert (figures["jobs"], figures["succeeded"], figures["failed"], figures["unfinished"]) == (60, 60, 0, 0)
    assert (figures["provider_429"], figures["ledger_difference_nano_usd"]) == (0, 0)
    assert 0 < figures["worst_window_ratio"] <= 1
    assert set(figures["tenants"]) == set(TENANTS)
    assert all(set(tenant) == TENANT_KEYS and tenant["jobs"] == 20 for tenant in figures["tenants"].values())
    assert sum(tenant["share"] for tenant in figures["tenants"].values()) == pytest.approx(1, abs=0.001)
    assert_nothing_is_left(demo)


@pytest.mark.parametrize("moment", ["starting the web process", "the worker starts", "serving at"])
def test_sigterm_at_any_moment_leaves_nothing(start, moment):
    demo = start("--jobs", "300" if moment == "the worker starts" else "15")
    demo.wait_until_it_says(moment)

    demo.process.terminate()

    assert demo.ends() == (0 if moment == "serving at" else 130)
    assert_nothing_is_left(demo)


def test_its_links_lead_to_the_dashboard_while_it_runs_and_afterwards(start):
    demo = start("--jobs", "15")
    demo.wait_until_it_says("serving at")
    links = re.findall(r"http\S+/dashboard/signin/\S+", demo.said())
    assert len(set(links)) == 2
    for link in links:
        path, page = clicked(link)
        assert (path, "operator</span>" in page) == ("dashboard/", True)


def test_even_kill_9_leaves_no_process(start):
    demo = start("--jobs", "300")
    demo.wait_until_it_says("the worker starts")
    wait_for(lambda: len(demo.processes()) > 4, 30)

    demo.process.kill()

    assert demo.ends() == -signal.SIGKILL


def test_a_killed_worker_costs_no_job_and_no_cent(start):
    demo = start("--exit", "--jobs", "150", "--json")
    demo.wait_until_it_says("the worker starts")
    worker = wait_for(lambda: next((pid for pid in demo.processes() if is_busy_worker(demo, pid)), None), 30)

    os.kill(worker, signal.SIGKILL)

    assert demo.ends(120) == 0, demo.said()
    assert "worker died: killed by SIGKILL" in demo.said()
    assert demo.said().splitlines()[-2].endswith("books differ by $0")
    figures = json.loads(demo.said().splitlines()[-1])
    assert (figures["succeeded"], figures["unfinished"], figures["ledger_difference_nano_usd"]) == (150, 0, 0)


def is_busy_worker(demo, pid):
    """The worker, once it runs jobs."""
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"celery" in command and any(f", {running} running" in demo.said() for running in range(1, 150))
    return False


def test_it_refuses_numbers_that_are_none(start):
    demo = start("--jobs", "0")

    assert demo.ends() == 2
    assert "from 1 to 100000" in demo.said()


def test_the_shops_tables_are_what_its_models_say():
    command = [sys.executable, "-m", "django", "makemigrations", "--check", "--dry-run"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "rateguard.demo.settings", "PYTHONPATH": str(PROJECT)}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
