"""The order of events: servers, tenants, requests; then the worker, the work, the books, the score; then service until Ctrl-C."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable

import redis
from django.conf import settings
from django.core.management import call_command
from rich.console import Console

from rateguard import wiring
from rateguard.demo import scenario, telling
from rateguard.demo.display import Display, LiveDisplay, PlainDisplay
from rateguard.demo.figures import Figures, bill_of, figures_of
from rateguard.demo.keyboard import Keyboard
from rateguard.demo.observe import Snapshot, Watched, look
from rateguard.demo.options import Options
from rateguard.demo.place import Place
from rateguard.demo.submitting import RestCaller, submit_all
from rateguard.demo.view import Frame
from rateguard.demo.workload import make_calls
from rateguard.embedded import children, logs
from rateguard.embedded.letting_in import sign_in_link
from rateguard.embedded.news import News
from rateguard.embedded.stopping import StopSignals
from rateguard.embedded.supervisor import Child, Supervisor
from rateguard.engine.errors import RateguardError
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.upkeep import rebuild
from rateguard.jobs.upkeep.reconcile import Coverage, Report, reconcile

OPERATOR = "demo"
"""Whom the links sign in."""
LOOK_S = 0.5
LOOKING_SHARE = 0.1
"""At most this part of the time goes into looking, however many jobs there are."""
PATIENCE_S = 120.0
"""Work in which no job ends for so long is given up."""
GRACE_S = 6.0
"""The time of the worker to end: nobody waits for the demo's calls."""
STOPPED = 130


class Stopped(Exception):
    """Ctrl-C or SIGTERM."""


class DemoFailed(RateguardError):
    """The demo cannot go on; the message says why."""

    code = "demo_failed"


def run(place: Place, options: Options, began_at: float) -> int:
    """The whole demo. Returns the exit code; nothing is left running afterwards."""
    news = News(began_at)
    logs.into_a_file(place.logs / "demo.log")
    with (
        StopSignals() as stop,
        Supervisor(place.logs, on_line=news.on_line, on_death=news.on_death, is_interrupted=stop.is_set) as supervisor,
    ):
        stop.on_second = supervisor.kill_all
        try:
            return Demo(place, options, began_at, news, stop, supervisor).run()
        except Stopped:
            print("stopped: everything is being taken down", file=sys.stderr)
            return STOPPED
        except RateguardError as error:
            print(f"the demo failed: {error}", file=sys.stderr)
            return 1
        finally:
            process_pump().stop(1.0)


class Demo:
    """One run in its place."""

    def __init__(self, place: Place, options: Options, began_at: float, news: News, stop: StopSignals, supervisor: Supervisor) -> None:
        self._place = place
        self._options = options
        self._began_at = began_at
        self._news = news
        self._stop = stop
        self._supervisor = supervisor
        self._keys: dict[str, str] = {}
        self._watched = Watched({}, frozenset())
        self._console = Console()

    def run(self) -> int:
        """Everything in order. Raises Stopped, DemoFailed and what a server's start raises."""
        self._start_servers()
        self._make_world()
        with self._display() as display, Keyboard({"k": self._kill_worker, "f": self._empty_redis}):
            self._submit(display)
            worker_at, worker_at_ms = time.monotonic(), time.time() * 1000
            self._supervisor.start(children.worker(GRACE_S))
            self._news.add("the worker starts")
            snapshot = self._work(display)
            ended_at = time.monotonic()
        report = self._close_books()
        snapshot = look(self._watched)
        control = self._place.control()
        figures = figures_of(control, snapshot, setup_s=worker_at - self._began_at, run_s=ended_at - worker_at)
        moved_ms = min((arrival.arrived_ms for arrival in control.log()), default=worker_at_ms) - worker_at_ms
        return self._finish(figures, report, moved_ms / 1000)

    # ---- set-up

    def _start_servers(self) -> None:
        self._step("Valkey", lambda: self._supervisor.start(children.valkey(self._place.folder / "valkey", self._place.valkey_port)))
        self._step("the simulated provider", lambda: self._supervisor.start(self._provider()))
        self._place.control().configure(**scenario.simulator_configuration(self._place.provider_key))
        self._step("the database", lambda: call_command("migrate", verbosity=0))
        self._step("the web process", lambda: self._supervisor.start(children.web(self._place.web_port)))

    def _step(self, name: str, start: Callable[[], object]) -> None:
        print(f"{time.monotonic() - self._began_at:6.1f} s  starting {name}", flush=True)
        start()
        self._check()

    def _provider(self) -> Child:
        """It stays down when it dies: its bill, the witness of the run, would be gone."""
        return children.provider(self._place.provider_port, self._place.control_token, restart=False)

    def _make_world(self) -> None:
        limits = scenario.make_provider(f"{self._place.provider_url}/v1", self._place.provider_key)
        budgets = scenario.make_tenants(self._options.jobs)
        self._keys = scenario.make_keys()
        self._watched = scenario.watched(limits, budgets)
        self._news.add(f"watch: {sign_in_link(OPERATOR, self._place.web_url)}")
        rebuild.rebuild(wiring.gate())
        self._check()

    def _submit(self, display: Display) -> None:
        """Submit in threads while the queue is watched."""
        calls = make_calls(self._options.jobs)
        failures: list[BaseException] = []

        def submit() -> None:
            try:
                submit_all(calls, RestCaller(self._place.web_url, self._keys), self._stop.is_set)
            except Exception as error:  # noqa: BLE001 - raised again in the main thread
                failures.append(error)

        submitting = threading.Thread(target=submit, name="demo-submit", daemon=True)
        submitting.start()
        while submitting.is_alive():
            self._look(display, "submitting")
            submitting.join(LOOK_S)
        self._check()
        if failures:
            raise DemoFailed(f"a job could not be submitted: {failures[0]}") from failures[0]
        if not process_pump().flush(10.0):
            raise DemoFailed("the gate did not take the jobs in")
        by_rest = sum(call.is_rest for call in calls)
        self._news.add(f"{by_rest:,} jobs came in by REST, {len(calls) - by_rest:,} by .delay(); no worker runs yet")
        self._look(display, "all are waiting")

    # ---- the work

    def _work(self, display: Display) -> Snapshot:
        """Until every job ended, or none did for too long."""
        done, progress_at = 0, time.monotonic()
        while True:
            began = time.monotonic()
            snapshot = self._look(display, "working")
            if snapshot.is_over:
                return snapshot
            if snapshot.total.done > done:
                done, progress_at = snapshot.total.done, began
            if began - progress_at > PATIENCE_S:
                return snapshot
            self._stop.wait(max(LOOK_S, (time.monotonic() - began) / LOOKING_SHARE))
            self._check()

    def _look(self, display: Display, phase: str) -> Snapshot:
        snapshot = look(self._watched)
        display.show(Frame(snapshot, phase, time.monotonic() - self._began_at, scenario.WEIGHTS))
        return snapshot

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped
        if any(death.name == children.PROVIDER for death in self._supervisor.deaths):
            raise DemoFailed("the simulated provider died, and with it its bill")

    def _kill_worker(self) -> None:
        if children.WORKER in self._supervisor.names():
            self._news.add("you sent kill -9 to the worker")
            self._supervisor.kill(children.WORKER)

    def _empty_redis(self) -> None:
        self._news.add("you emptied Redis: limits, queues, waiting room, all")
        try:
            with redis.Redis.from_url(settings.REDIS_URL) as client:
                client.flushall()
        except redis.RedisError as error:
            self._news.add(f"Redis did not answer: {error}")

    def _display(self) -> Display:
        can_draw = self._console.is_terminal and not self._console.is_dumb_terminal
        return LiveDisplay(self._console, self._news) if can_draw else PlainDisplay(self._news)

    # ---- the end

    def _close_books(self) -> Report:
        """What was estimated is corrected from the provider's bill, which is complete: nothing runs any more."""
        return reconcile(bill_of(self._place.control()), apply=True, complete=Coverage(scenario.ACCOUNT))

    def _finish(self, figures: Figures, report: Report, moved_s: float) -> int:
        for line in telling.summary(figures, moved_s):
            print(line)
        print(telling.last_line(figures, report.estimated_corrected), flush=True)
        if not self._options.ends:
            for line in telling.where_to_look(sign_in_link(OPERATOR, self._place.web_url)):
                print(line)
            for line in telling.how_to_call(self._place.web_url, self._keys):
                print(line)
        if self._options.is_json:
            print(json.dumps(dataclasses.asdict(figures)), flush=True)
        if not self._options.ends:
            self._serve()
        return 0 if figures.is_good else 1

    def _serve(self) -> None:
        """Until Ctrl-C."""
        sys.stdout.flush()
        self._stop.wait()
