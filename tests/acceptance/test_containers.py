"""The very commands that docker-compose.yml starts, as processes: what it says of settings, secrets, roles and health is true.

What a container would bring is put in its place: the names of services become addresses of real servers, /run/secrets a folder of
secrets made by deploy/make-secrets, the image's folder one that holds what the image would hold, /tmp a folder for each container.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from rateguard.embedded import process
from rateguard.embedded.postgres import programs_folder
from rateguard.embedded.valkey import is_answering, valkey_argv
from rateguard.engine.providers.sim.process import SimHandle
from tests import composed
from tests.rolesql import Database
from tests.simprovider import sim, sim_process, wait_for  # noqa: F401
from tests.webprocess import WebProcess, answer, call, send, session

MODEL = "sim-1"
START_S = 90

pytestmark = pytest.mark.long


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


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    made = Site(tmp_path)
    try:
        made.start_valkey()
        made.migrate()
        yield made
    finally:
        made.close()


# ---- a provider, a tenant and its jobs, all through the web process's own role


class Caller:
    """A tenant's program, and before it whoever sets the tenant up."""

    BODY: ClassVar[dict] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}

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
        with session(self.web, self.secret) as line:
            answers = [call(line, "POST", "/api/v1/jobs", json.dumps(self.BODY)) for _ in range(count)]
        assert {status for status, _ in answers} == {202}, answers[-1]
        return [job["id"] for _, job in answers]

    def states(self, jobs: list[str]) -> set[str]:
        with session(self.web, self.secret) as line:
            return {call(line, "GET", f"/api/v1/jobs/{job}")[1]["status"] for job in jobs}


def asked(site: Site, question: str) -> list[tuple]:
    """What the rows say."""
    with psycopg.connect(site.database.address("postgres", "")) as connection:
        return connection.execute(question).fetchall()


def pids(site: Site, where: str = "true") -> set[int]:
    """The processes that took jobs."""
    return {int(holder.split(":")[-2]) for (holder,) in asked(site, f"SELECT DISTINCT holder FROM rateguard_jobs_attempt WHERE {where}")}


class Line:
    """What runs on the site, and what a test sees of it."""

    def __init__(self, site: Site, provider: SimHandle) -> None:
        self.site = site
        self.provider = provider
        self.web, *self.workers = [one.start() for one in (site.container("web"), site.container("worker", 1), site.container("worker", 2))]
        for one in (self.web, *self.workers):
            one.get_well()
        self.caller = Caller(self.web, site.port, provider.base_url)
        self.web_url = self.caller.web.url

    def answers_take(self, ms: int) -> None:
        self.provider.control.configure(latency={"base_ms": ms})

    def run(self, count: int) -> list[str]:
        """Jobs that a worker has in hand."""
        jobs = self.caller.submit(count)
        wait_for(lambda: self.caller.states(jobs) == {"running"}, 30)
        return jobs

    def done(self, jobs: list[str], within_s: float = 60) -> None:
        wait_for(lambda: self.caller.states(jobs) == {"succeeded"}, within_s)


def both_workers_do_what_comes_by_rest(line: Line) -> None:
    deadline = time.monotonic() + 120
    while len(pids(line.site)) < 2:
        assert time.monotonic() < deadline, "one of the workers does nothing"
        line.done(line.caller.submit(10))


def the_web_process_is_ready_and_says_nothing_of_its_server(line: Line) -> None:
    with session(line.caller.web, line.caller.secret) as connection:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        said = json.loads(response.read())
    assert response.status == 200, said
    assert response.headers["Server"] is None


def an_operator_signs_in_and_sees_the_pages(line: Line) -> None:
    made = json.loads(line.web.run("python", "manage.py", "signin", "root", "--create-operator", "--json"))
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(made["url"], timeout=60) as page:
        assert page.url == f"{line.web_url}/dashboard/"
    for path in ("/dashboard/jobs", "/dashboard/tenants", "/admin/rateguard_tenants/limit/", "/admin/rateguard_tenants/tenant/"):
        with browser.open(f"{line.web_url}{path}", timeout=60) as page:
            assert page.status == 200
            assert page.url == f"{line.web_url}{path}", "who is not signed in is sent elsewhere"
            style = re.search(r'href="(/[^"]+\.css)"', page.read().decode())
    with browser.open(f"{line.web_url}{style[1]}", timeout=60) as file:
        assert file.read()


def a_worker_takes_away_a_pause_that_is_over(line: Line) -> None:
    with session(line.caller.web, line.caller.operator["secret"]) as connection:
        status, said = call(connection, "POST", "/api/v1/pauses", json.dumps({"target_kind": "lane", "target": "low", "until": 1}))
        assert status < 300, said
        wait_for(lambda: not call(connection, "GET", "/api/v1/pauses")[1]["data"], 30)


def the_work_of_a_worker_that_dies_is_done_by_another(line: Line) -> None:
    line.answers_take(15_000)
    jobs = line.run(20)
    running = pids(line.site, "state = 'running'")
    victim = next(worker for worker in line.workers if worker.running.pid in running)
    process.kill(victim.running)
    line.answers_take(0)
    line.workers[line.workers.index(victim)] = line.site.container("worker", 3).start().get_well()
    line.done(jobs, 90)
    assert asked(line.site, "SELECT count(*) > 0 FROM rateguard_jobs_attempt WHERE state = 'abandoned'") == [(True,)]


def all_stop_in_time_and_what_is_under_way_is_done(line: Line) -> None:
    line.answers_take(3_000)
    jobs = line.run(6)
    for worker in line.workers:
        worker.terminate()
    assert [worker.running.returncode for worker in line.workers] == [0, 0]
    assert line.caller.states(jobs) == {"succeeded"}
    assert not [worker for worker in line.workers if worker.is_well()]

    with session(line.caller.web, line.caller.secret) as waiting:
        send(waiting, "POST", "/api/v1/jobs", json.dumps(Caller.BODY), Prefer="wait=60")
        wait_for(lambda: asked(line.site, "SELECT count(*) FROM rateguard_jobs_job WHERE state = 'queued'") == [(1,)])
        assert line.web.terminate() < 15
        status, job = answer(waiting)
    assert (status, job["status"]) == (202, "queued")
    assert line.web.running.returncode in {0, -signal.SIGTERM}, line.web.said()  # uvicorn ends by the signal, once all is done


def the_books_close_and_no_role_was_refused_anything(site: Site) -> None:
    ((attempts, charges),) = asked(
        site,
        "SELECT (SELECT count(*) FROM rateguard_jobs_attempt WHERE state <> 'running'),"
        " (SELECT count(*) FROM rateguard_tenants_ledgerentry WHERE kind = 'charge')",
    )
    assert attempts == charges > 0
    assert "permission denied" not in site.database.server.log.read_text()
    assert site.held() == site.files, "the image's folder is read-only in a container"


@pytest.mark.needs("postgres")
@pytest.mark.timeout(600)
def test_what_the_file_starts_works_loses_a_worker_and_stops_in_time(site, sim):  # noqa: F811 -- a fixture is imported by name
    line = Line(site, sim)
    both_workers_do_what_comes_by_rest(line)
    the_web_process_is_ready_and_says_nothing_of_its_server(line)
    an_operator_signs_in_and_sees_the_pages(line)
    a_worker_takes_away_a_pause_that_is_over(line)
    the_work_of_a_worker_that_dies_is_done_by_another(line)
    all_stop_in_time_and_what_is_under_way_is_done(line)
    the_books_close_and_no_role_was_refused_anything(site)


@pytest.mark.needs("compose")
def test_compose_itself_takes_the_file():
    done = subprocess.run(
        ["docker", "compose", "--file", composed.COMPOSE, "config", "--quiet"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
