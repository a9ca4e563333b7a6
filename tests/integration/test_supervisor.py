"""The supervisor, by real processes: shells that print, fork, refuse to end or fall over."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rateguard.embedded.errors import ChildFailedError
from rateguard.embedded.supervisor import Child, Supervisor

PROJECT = Path(__file__).parent.parent.parent
FOREVER = "exec sleep 300"


def shell(name, script, **more):
    return Child(name=name, argv=["sh", "-c", script], **more)


def is_alive(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(is_true, timeout_s=15):
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def deaths():
    return queue.Queue()


@pytest.fixture
def supervisor(tmp_path, deaths):
    with Supervisor(tmp_path / "logs", on_death=deaths.put) as running:
        yield running


def test_a_child_is_started_only_when_the_one_before_is_ready(supervisor, tmp_path):
    door = tmp_path / "open"
    supervisor.start(shell("first", f"sleep 0.2; touch '{door}'; {FOREVER}", ready=door.exists))
    assert door.exists()


def test_a_child_that_dies_before_it_is_ready_is_an_error_with_its_last_words(supervisor):
    with pytest.raises(ChildFailedError, match=r"(?s)exit code 3.*no money left"):
        supervisor.start(shell("broken", "echo no money left; exit 3", ready=lambda: False, restart=False))


def test_a_child_that_is_not_ready_in_time_is_an_error_that_names_it(supervisor):
    with pytest.raises(ChildFailedError, match=r"slow was not ready within 0\.1 s"):
        supervisor.start(shell("slow", FOREVER, ready=lambda: False, ready_timeout_s=0.1))


def test_a_program_that_does_not_exist_is_the_callers_error(supervisor):
    with pytest.raises(FileNotFoundError):
        supervisor.start(Child(name="ghost", argv=["/nowhere/ghost"]))


def test_a_killed_child_comes_back_and_its_death_is_told_with_the_signal(supervisor, deaths):
    supervisor.start(shell("worker", f"echo working; {FOREVER}"))
    first = supervisor.pid("worker")
    wait_until(
        lambda: "working" in (supervisor.log_dir / "worker.log").read_text() if (supervisor.log_dir / "worker.log").exists() else False
    )

    supervisor.kill("worker")

    death = deaths.get(timeout=10)
    assert (death.name, death.reason, death.last_lines, death.restarts_in_s) == ("worker", "killed by SIGKILL", "working", 0.5)
    wait_until(lambda: supervisor.pid("worker") not in {None, first})


@pytest.mark.long
def test_each_death_in_a_row_doubles_the_wait_before_the_restart(supervisor, deaths):
    supervisor.start(shell("looping", "exit 7"))
    told = [deaths.get(timeout=10) for _ in range(3)]
    assert [(death.reason, death.restarts_in_s) for death in told] == [("exit code 7", 0.5), ("exit code 7", 1.0), ("exit code 7", 2.0)]


def test_a_child_that_is_to_run_once_stays_down(supervisor, deaths):
    supervisor.start(shell("once", "exit 0", restart=False))
    assert deaths.get(timeout=10).restarts_in_s is None
    assert supervisor.pid("once") is None


def test_what_a_dead_child_had_started_dies_with_it(supervisor, deaths, tmp_path):
    note = tmp_path / "grandchild"
    supervisor.start(shell("parent", f"sleep 300 & echo $! > '{note}'; exit 1", restart=False))
    deaths.get(timeout=10)
    wait_until(lambda: not is_alive(int(note.read_text())))  # a kill is delivered, not awaited, for what is not our child


@pytest.mark.long
def test_a_daemon_that_left_the_group_does_not_hold_up_the_restart(supervisor, deaths, tmp_path):
    note = tmp_path / "daemon"
    leave = """
import os, sys, time
if os.fork():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
else:
    os.setsid()
    with open(sys.argv[1] + ".new", "w") as note:
        note.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(300)
"""
    supervisor.start(Child(name="leaving", argv=[sys.executable, "-c", leave, str(note)], restart=False))
    assert deaths.get(timeout=10).reason == "exit code 0"
    os.kill(int(note.read_text()), signal.SIGKILL)


def test_output_goes_line_by_line_to_the_log_and_to_the_callback(tmp_path):
    lines = queue.Queue()
    with Supervisor(tmp_path, on_line=lambda name, line: lines.put((name, line))) as supervisor:
        supervisor.start(shell("talker", f"echo one; echo two >&2; {FOREVER}"))
        assert [lines.get(timeout=10), lines.get(timeout=10)] == [("talker", "one"), ("talker", "two")]
    assert (tmp_path / "talker.log").read_text() == "one\ntwo\n"


def test_stop_takes_children_down_last_started_first(supervisor, tmp_path):
    order = tmp_path / "order"
    for name in ("database", "web", "worker"):
        up = tmp_path / name
        supervisor.start(
            shell(name, f"trap 'echo {name} >> {order}; exit 0' TERM; touch '{up}'; while :; do sleep 0.02; done", ready=up.exists)
        )

    supervisor.stop()

    assert order.read_text().split() == ["worker", "web", "database"]


def test_stop_kills_what_ignores_it_after_its_grace_with_all_its_children(supervisor, tmp_path):
    note = tmp_path / "pids"
    stubborn = f"trap '' TERM; sleep 300 & echo $$ $! > '{note}.new'; mv '{note}.new' '{note}'; while :; do sleep 0.02; done"
    supervisor.start(shell("stubborn", stubborn, grace_s=0.2, ready=note.exists))

    started = time.monotonic()
    supervisor.stop()

    assert time.monotonic() - started < 5
    wait_until(lambda: not any(is_alive(int(pid)) for pid in note.read_text().split()))


def test_stop_is_not_followed_by_a_restart(supervisor, deaths):
    supervisor.start(shell("looping", "exit 7"))
    deaths.get(timeout=10)
    supervisor.stop()
    assert supervisor.pid("looping") is None
    assert not [thread for thread in threading.enumerate() if thread.name == "supervise-looping"]


RUNNER = """
import os, sys
from pathlib import Path
from rateguard.embedded.stopping import StopSignals
from rateguard.embedded.supervisor import Child, Supervisor
folder = Path(sys.argv[1])
with StopSignals() as stopping, Supervisor(folder / "logs") as supervisor:
    stopping.on_second = supervisor.kill_all
    script = f"{sys.argv[2]} sleep 300 & echo $$ $! > '{folder}/new'; mv '{folder}/new' '{folder}/pids'; while :; do sleep 0.02; done"
    supervisor.start(Child(name="child", argv=["sh", "-c", script], grace_s=60, ready=(folder / "pids").exists))
    stopping.wait()
    (folder / "stopping").touch()
"""


@pytest.fixture
def runner(tmp_path):
    started = []

    def start(trap=""):
        command = [sys.executable, "-c", RUNNER, str(tmp_path), trap]
        started.append(subprocess.Popen(command, cwd=PROJECT))
        wait_until((tmp_path / "pids").exists)
        return started[0], [int(pid) for pid in (tmp_path / "pids").read_text().split()]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_signal_ends_all_in_order(runner, number):
    supervisor, pids = runner()
    supervisor.send_signal(number)
    assert supervisor.wait(15) == 0
    wait_until(lambda: not any(map(is_alive, pids)))


def test_a_second_signal_ends_all_at_once(runner, tmp_path):
    supervisor, pids = runner("trap '' TERM;")
    supervisor.send_signal(signal.SIGINT)
    wait_until((tmp_path / "stopping").exists)
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(15) == 0
    wait_until(lambda: not any(map(is_alive, pids)))


def test_nothing_survives_a_kill_of_the_supervisor(runner):
    supervisor, pids = runner("trap '' TERM;")
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait(15)
    wait_until(lambda: not any(map(is_alive, pids)))
