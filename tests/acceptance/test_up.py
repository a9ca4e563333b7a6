"""`manage.py up` as a person uses it: from an empty folder to an answer, stopped, killed, started again; nothing is left but the state."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rateguard.embedded.process import free_port
from tests.acceptance.pages import Reader, shell_environment
from tests.clicking import clicked
from tests.simprovider import wait_for

PROJECT = Path(__file__).parents[2]
OURS = ("RATEGUARD_", "DATABASE_", "SECURE_")
READY = "Ctrl-C ends it"

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc"),
]


class Folder:
    """An empty folder of a person's, with the project's manage.py in it, and what runs there."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.state = folder / ".rateguard"
        self.port = free_port()
        self.environment = environment
        self.running: subprocess.Popen[bytes] | None = None
        (folder / "manage.py").symlink_to(PROJECT / "manage.py")

    def start(self, *arguments: str, **environment: str) -> None:
        self.log = self.folder / "up.log"
        with self.log.open("wb") as output:
            command = [sys.executable, "manage.py", "up", "--port", str(self.port), *arguments]
            self.running = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def up(self, *arguments: str, **environment: str) -> str:
        """Start it, and return what it said when it was ready."""
        self.start(*arguments, **environment)
        wait_for(lambda: self.is_ready() or self.running.poll() is not None, 120)
        assert self.is_ready(), self.said()
        return self.said()

    def is_ready(self) -> bool:
        return READY in self.said() or '"api_key_file"' in self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def manage(self, *words: str, code: int = 0, **environment: str) -> str:
        """Another command from the same folder; what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout or done.stderr

    def shell(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", command], cwd="/", env=self.environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def processes(self) -> set[int]:
        """Whatever names this folder in its environment or stands in it."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                stands_here = (entry / "cwd").readlink().is_relative_to(self.folder)
                if stands_here or f"={self.folder}".encode() in (entry / "environ").read_bytes():
                    found.add(int(entry.name))
        return found

    def end(self, number: signal.Signals) -> int:
        self.running.send_signal(number)
        code = self.running.wait(60)
        wait_for(lambda: not self.processes(), 10)
        return code


@pytest.fixture
def folder(tmp_path):
    kept = {name: text for name, text in os.environ.items() if not name.startswith(OURS) and name not in {"REDIS_URL", "SECRET_KEY"}}
    here = tmp_path / "a folder"
    here.mkdir()
    made = Folder(here, {**kept, "RATEGUARD_BOOTSTRAP": "0", "PYTHONUNBUFFERED": "1"})
    yield made
    if made.running is not None:
        made.running.kill()
        made.running.wait()
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not made.processes(), 10)
    for pid in made.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def reader(folder, sim):
    """Who follows the page, with a provider's key in the environment."""
    keys = {"OPENAI_API_KEY": "sk-a-readers-key", "OPENAI_BASE_URL": sim.base_url, "PORT": str(folder.port)}
    made = Reader(folder.folder, {**shell_environment(folder.environment, sys.executable), **keys})
    yield made
    made.leave()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", ["cli", "first-steps"])
def test_what_a_page_says_of_the_shell_can_be_followed_to_the_letter(page, reader):
    reader.follow(PROJECT / "docs" / f"{page}.md")


def command_in(said):
    """The curl command, as it would be copied."""
    lines = said[said.index("curl ") :].splitlines()
    return "\n".join(lines[: lines.index("")])


def jobs_in(folder):
    return json.loads(folder.manage("job", "list", "--json"))["data"]


def test_from_an_empty_folder_to_an_answer_and_on_after_a_stop_and_a_kill(folder, sim):
    """One life: a key of the environment, the curl line word for word, Ctrl-C, a restart, kill -9, a restart."""
    said = folder.up(OPENAI_API_KEY="sk-one", OPENAI_BASE_URL=sim.base_url, ANTHROPIC_API_KEY="sk-ant")
    answer = json.loads(folder.shell(command_in(said)))
    secret = (folder.state / "api-key").read_text().strip()
    assert answer["status"] == "succeeded", answer
    assert secret in said
    assert "500/min, 200000 tokens/min" in said
    assert "There is no adapter for Anthropic".lower() in said.lower()
    assert {"sk-one", "sk-ant"}.isdisjoint(said.split())
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in [folder.state, *folder.state.rglob("*")])

    assert "an `up` runs in" in folder.manage("up", "--port", str(free_port()), code=1)
    assert folder.manage("job", "submit", "Say hello", "--model", "gpt-5.4-mini", "--wait").strip()
    assert folder.manage("job", "submit", "later", "--model", "gpt-5.4-mini", "--run-at", "2099-01-01T00:00:00Z")
    assert "set 5000/min on deployment gpt-5-4-mini" in folder.manage("limit", "set", "--deployment", "gpt-5-4-mini", "5000/min")
    healthy = json.loads(folder.manage("doctor", "--json"))
    assert healthy["ok"], [finding for finding in healthy["data"] if finding["level"] == "fail"]
    before = jobs_in(folder)
    assert folder.end(signal.SIGINT) == 0

    told = json.loads(folder.up("--json", OPENAI_API_KEY="sk-two", OPENAI_BASE_URL=sim.base_url))
    assert Path(told["api_key_file"]).read_text().strip() == secret
    assert clicked(told["sign_in_url"])[0] == "dashboard/"
    assert told["models"][0] in told["accounts"][0]["deployments"][0]["model"]
    assert jobs_in(folder) == before
    assert json.loads(folder.manage("limits", "--json"))["object"]
    assert folder.end(signal.SIGKILL) == -signal.SIGKILL

    said = folder.up()
    assert secret not in said
    assert jobs_in(folder) == before
    assert json.loads(folder.shell(command_in(said)))["status"] == "succeeded"
    assert folder.end(signal.SIGTERM) == 0


def test_without_a_key_it_says_what_it_looks_for_and_the_simulated_provider_answers(folder):
    said = folder.up("--sim", "--tenant", "acme")
    assert json.loads(folder.shell(command_in(said)))["model"] == "sim-chat"
    for link in (re.search(r"http\S+/dashboard/signin/\S+", said)[0], folder.manage("signin", "operator").split()[0]):
        path, page = clicked(link)
        assert (path, "operator</span>" in page) == ("dashboard/", True)
    assert (folder.state / "api-key.acme").exists()
    folder.end(signal.SIGINT)

    broken = json.loads(folder.manage("doctor", "--offline", "--json", code=1))
    failed = {finding["subject"]: finding["remedy"] for finding in broken["data"] if finding["level"] == "fail"}
    assert {"redis", "broker", "workers"} <= set(failed)
    assert "manage.py up" in failed["redis"]


def test_an_empty_start_works_too_and_says_how_to_go_on(folder):
    said = folder.up()
    assert "OPENAI_API_KEY" in said
    assert "up --sim" in said
    assert "limits" in json.loads(folder.shell(command_in(said)))
    assert folder.end(signal.SIGINT) == 0


def test_a_stop_in_the_middle_of_the_start_leaves_no_process_and_the_next_start_goes_on(folder):
    folder.start("--sim")
    wait_for(lambda: "starting the web process" in folder.said(), 120)
    assert folder.end(signal.SIGTERM) == 130
    said = folder.up("--sim")
    assert json.loads(folder.shell(command_in(said)))["status"] == "succeeded"
    assert folder.end(signal.SIGINT) == 0


def test_a_port_that_is_taken_is_named_with_another_to_take(folder):
    with socket.create_server(("127.0.0.1", folder.port)):
        said = folder.manage("up", "--port", str(folder.port), code=1)
    assert f"--port {folder.port + 1}" in said
    assert not folder.processes()
