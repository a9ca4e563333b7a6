"""The very commands that docker-compose.yml starts, as processes: what it says of settings, secrets, roles and health is true.

What a container would bring is put in its place: the names of services become addresses of real servers, /run/secrets a folder of
secrets made by deploy/make-secrets, the image's folder one that holds what the image would hold, /tmp a folder for each container.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from rateguard.embedded import process
from rateguard.embedded.postgres import programs_folder
from rateguard.embedded.valkey import is_answering, valkey_argv
from tests import composed
from tests.rolesql import Database
from tests.simprovider import sim, sim_process, wait_for  # noqa: F401
from tests.webprocess import WebProcess, call, session

MODEL = "sim-1"
START_S = 90

pytestmark = [pytest.mark.long, pytest.mark.needs("postgres"), pytest.mark.timeout(600)]


class Container:
    """One container of a service: its own /tmp, its own log, the command and the variables that the file says."""

    def __init__(self, site: Site, service: str, number: int = 1) -> None:
        self._site = site
        self.service = service
        self.tmp = site.folder / f"{service}-{number}"
        self.tmp.mkdir()
        self.log = self.tmp / "container.log"
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> Container:
        with self.log.open("wb") as output:
            self.running = process.launch(self._words(self._command()), output=output, env=self._environment(), cwd=self._site.image)
        return self

    def _command(self) -> list[str]:
        return composed.service(self.service)["command"]

    def _words(self, words: list[str]) -> list[str]:
        return [self._site.placed(word, self.tmp) for word in words]

    def _environment(self) -> dict[str, str]:
        """Nothing of the test's own environment: a container has the image's and the file's."""
        return {name: self._site.placed(text, self.tmp) for name, text in composed.environment_of(self.service).items()}

    def run(self, *words: str, code: int = 0) -> str:
        """Another command in it, as `docker compose exec`; what it printed."""
        done = subprocess.run(
            self._words(list(words)),
            cwd=self._site.image,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.said()}"
        return done.stdout

    def is_well(self) -> bool:
        """What the file's own health check says."""
        environment = self._environment() or {"PATH": self._site.path}
        words = self._words(composed.health_of(self.service))
        return subprocess.run(words, cwd=self._site.image, env=environment, capture_output=True, timeout=30, check=False).returncode == 0

    def get_well(self) -> Container:
        wait_for(lambda: self.has_ended() or self.is_well(), START_S)
        assert not self.has_ended(), self.said()
        return self

    def has_ended(self) -> bool:
        return self.running is not None and self.running.poll() is not None

    def said(self) -> str:
        return process.last_lines(self.log, 60) if self.log.exists() else ""

    def terminate(self) -> float:
        """Ask it to stop as `docker stop` does, and wait no longer than the file lets it; the seconds that it took."""
        began = time.monotonic()
        self.running.send_signal(signal.SIGTERM)
        self.running.wait(composed.seconds(composed.service(self.service)["stop_grace_period"]))
        return time.monotonic() - began

    def close(self) -> None:
        if self.running is not None:
            process.kill(self.running)


class Site:
    """The project of containers, with real servers at the addresses that stand for its services' names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.valkey_port = process.free_port(), process.free_port()
        self.image = folder / "image"
        composed.fill(self.image)
        self.files = self.held()
        self.database = Database.started(folder, valkey=f"127.0.0.1:{self.valkey_port}")
        self.path = os.pathsep.join([str(Path(sys.executable).parent), str(programs_folder()), "/usr/bin", "/bin"])
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.database.server.stop)

    def placed(self, text: str, tmp: Path) -> str:
        """A word of the file with what this machine has in the place of a container's names, folders and ports."""
        for name, here in (
            ("/tmp/", f"{tmp}/"),
            ("/srv/packages/bin:$PATH", self.path),
            ("/srv/rateguard", str(self.image)),
            ("/run/secrets", str(self.database.secrets)),
            ("@db:5432", f"@127.0.0.1:{self.database.server.port}"),
            ("127.0.0.1:8000", f"127.0.0.1:{self.port}"),
        ):
            text = text.replace(name, here)
        return {"8000": str(self.port), "/tmp": str(tmp)}.get(text, text)

    def container(self, service: str, number: int = 1) -> Container:
        made = Container(self, service, number)
        self._stack.callback(made.close)
        return made

    def start_valkey(self) -> None:
        """The file's command line, with the wheel's program and a port and a folder of our own."""
        _, *words = [self.placed(word, self.folder) for word in composed.service("valkey")["command"]]
        data = self.folder / "gate"
        data.mkdir()
        program = valkey_argv(data, self.valkey_port)[0]
        own = ["--port", str(self.valkey_port), "--bind", "127.0.0.1", "--dir", str(data)]
        with (self.folder / "valkey.log").open("wb") as output:
            running = process.launch([program, *words, *own], output=output)
        self._stack.callback(process.kill, running)
        password = (self.database.secrets / "valkey_password").read_text().strip()
        wait_for(lambda: is_answering(self.valkey_port, running.pid, password), 30)

    def migrate(self) -> None:
        one_shot = self.container("migrate").start()
        assert one_shot.running.wait(240) == 0, one_shot.said()

    def held(self) -> set[str]:
        """The files of the image."""
        return {str(path.relative_to(self.image)) for path in self.image.rglob("*")}

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    try:
        made.start_valkey()
        made.migrate()
        yield made
    finally:
        made.close()


# ---- a provider, a tenant and its jobs, all through the web process's own role


class Caller:
    """A tenant's program, and before it whoever sets the tenant up."""

    def __init__(self, web: Container, port: int, base_url: str) -> None:
        self.web = WebProcess(web.running, port, web.log)
        web.run("python", "manage.py", "tenant", "create", "acme")
        self.operator = json.loads(web.run("python", "manage.py", "apikey", "create", "root", "--tenant", "acme", "--operator", "--json"))
        with session(self.web, self.operator["secret"]) as line:
            for things, fields in (
                ("accounts", {"name": "sim", "provider": "sim", "base_url": base_url, "credentials": "sk-sim"}),
                ("deployments", {"name": "sim-1", "account": "sim", "upstream_model": MODEL}),
                ("models", {"name": MODEL, "deployments": ["sim-1"]}),
                ("prices", {"provider": "sim", "model": MODEL, "valid_from": "2020-01-01T00:00:00Z", "input_usd": "1", "output_usd": "2"}),
                ("limits", {"tenant": "acme", "scope_kind": "tenant", "limit": "60000/min"}),
            ):
                status, said = call(line, "POST", f"/api/v1/manage/{things}", json.dumps(fields))
                assert status == 201, said
            status, made = call(line, "POST", "/api/v1/manage/keys", json.dumps({"tenant": "acme", "name": "caller"}))
            assert status == 201, made
        self.secret = made["secret"]

    def submit(self, count: int) -> list[str]:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
        with session(self.web, self.secret) as line:
            answers = [call(line, "POST", "/api/v1/jobs", json.dumps(body)) for _ in range(count)]
        assert {status for status, _ in answers} == {202}, answers[-1]
        return [job["id"] for _, job in answers]

    def states(self, jobs: list[str]) -> set[str]:
        with session(self.web, self.secret) as line:
            return {call(line, "GET", f"/api/v1/jobs/{job}")[1]["status"] for job in jobs}


def holders(site: Site) -> set[str]:
    """The workers that took jobs."""
    with psycopg.connect(site.database.address("postgres", "")) as connection:
        return {holder for (holder,) in connection.execute("SELECT DISTINCT holder FROM rateguard_jobs_attempt").fetchall()}


def test_two_workers_do_what_comes_by_rest_and_all_stop_in_time(site, sim):  # noqa: F811 -- a fixture is imported by name
    web = site.container("web").start()
    workers = [site.container("worker", number).start() for number in (1, 2)]
    for one in (web, *workers):
        one.get_well()
    caller = Caller(web, site.port, sim.base_url)

    done = []
    deadline = time.monotonic() + 120
    while len(holders(site)) < 2:
        assert time.monotonic() < deadline, "one of the workers does nothing"
        done += (jobs := caller.submit(10))
        wait_for(lambda jobs=jobs: caller.states(jobs) == {"succeeded"}, 60)

    with session(caller.web, caller.secret) as line:
        line.request("GET", "/readyz")
        answer = line.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 200, said
        assert answer.headers["Server"] is None

    sim.control.configure(latency={"base_ms": 3_000})
    under_way = caller.submit(6)
    wait_for(lambda: caller.states(under_way) == {"running"}, 30)
    took = {number: worker.terminate() for number, worker in enumerate(workers)}
    assert [worker.running.returncode for worker in workers] == [0, 0], took
    assert caller.states(under_way) == {"succeeded"}
    assert not [worker for worker in workers if worker.is_well()]

    took["web"] = web.terminate()
    assert web.running.returncode in {0, -signal.SIGTERM}, web.said()
    assert took["web"] < 15, took

    with psycopg.connect(site.database.address("postgres", "")) as connection:
        (attempts,) = connection.execute("SELECT count(*) FROM rateguard_jobs_attempt WHERE state = 'succeeded'").fetchone()
        (charges,) = connection.execute("SELECT count(*) FROM rateguard_tenants_ledgerentry WHERE kind = 'charge'").fetchone()
    assert attempts == charges == len(done) + len(under_way)
    assert site.held() == site.files, "the image's folder is read-only in a container"


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker here")
def test_compose_itself_takes_the_file():
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip("docker has no compose here")
    asked = subprocess.run(
        ["docker", "compose", "--file", composed.COMPOSE, "config", "--quiet"], capture_output=True, text=True, check=False, timeout=60
    )
    assert asked.returncode == 0, asked.stderr
