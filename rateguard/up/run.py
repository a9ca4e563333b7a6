"""The order of events: servers, rows, web process, worker; then service until Ctrl-C, with a line for whatever happens."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

from django.core.management import call_command
from django.db import DatabaseError, connection
from rich.console import Console
from rich.text import Text

from rateguard import wiring
from rateguard.embedded import children, logs
from rateguard.embedded.letting_in import sign_in_link
from rateguard.embedded.lines import in_lines
from rateguard.embedded.news import News
from rateguard.embedded.stopping import StopSignals
from rateguard.embedded.supervisor import Supervisor
from rateguard.engine.errors import GateError, RateguardError
from rateguard.engine.providers.listing import TIMEOUT_S, Listing, list_models
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.upkeep import rebuild
from rateguard.jobs.within import Look
from rateguard.up import accounts, overview, telling
from rateguard.up.catalogue import Found, Keys
from rateguard.up.door import open_door
from rateguard.up.options import Options
from rateguard.up.place import Place
from rateguard.up.serving import Serving

WORKER_GRACE_S = 40.0
"""A worker lets calls under way end for up to 28 s, then gives the rest back."""
STOPPED = 130


class Stopped(Exception):
    """Ctrl-C or SIGTERM before all was ready."""


def run(place: Place, options: Options, keys: Keys) -> int:
    """Everything, until Ctrl-C. Returns the exit code; no process is left afterwards, and the state stays."""
    news = News(time.monotonic())
    logs.into_a_file(place.state.logs / "up.log")
    with (
        StopSignals() as stop,
        Supervisor(place.state.logs, on_line=news.on_line, on_death=news.on_death, is_interrupted=stop.is_set) as supervisor,
    ):
        stop.on_second = supervisor.kill_all
        try:
            return Up(place, options, keys, news, stop, supervisor).run()
        except Stopped:
            return STOPPED
        except (RateguardError, DatabaseError) as error:
            print(f"up cannot go on: {error}\nits logs: {telling.shown(place.state.logs)}", file=sys.stderr)
            return 1
        finally:
            process_pump().stop(1.0)


class Up:
    """One start in its place."""

    def __init__(self, place: Place, options: Options, keys: Keys, news: News, stop: StopSignals, supervisor: Supervisor) -> None:
        self._place = place
        self._options = options
        self._keys = keys
        self._news = news
        self._stop = stop
        self._supervisor = supervisor
        self._console = Console(highlight=False)

    def run(self) -> int:
        """Everything in order. Raises Stopped and what a server's start raises."""
        asking = {found.provider.name: Look(_question(found)) for found in self._keys.found}
        with nullcontext() if self._options.is_json or not self._console.is_terminal else self._console.status("") as status:
            self._show_step = self._teller(status)
            self._start_servers()
            told = self._make_rows(asking)
            self._start_line()
        self._tell(told)
        Serving(self._console, self._news, self._stop, is_quiet=self._options.is_json).run()
        return 0

    # ---- the start

    def _teller(self, status: object) -> Callable[[str], None]:
        """How a step is told: in the spinner of a terminal, as a line elsewhere, not at all beside JSON."""
        if self._options.is_json:
            return lambda _: None
        if status is None:
            return lambda name: print(f"starting {name}", flush=True)
        return lambda name: status.update(f"starting {name}")  # type: ignore[attr-defined]  # rich's Status, where there is one

    def _step(self, name: str, start: Callable[[], object]) -> None:
        self._show_step(name)
        start()
        if self._stop.is_set():
            raise Stopped

    def _start_servers(self) -> None:
        place = self._place
        if place.valkey_port is not None:
            valkey = children.valkey(place.state.folder / "valkey", place.valkey_port, place.password_file)
            self._step("Valkey", lambda: self._supervisor.start(valkey))
        if place.provider_port is not None:
            provider = children.provider(place.provider_port, place.control_token, restart=True)
            self._step("the simulated provider", lambda: self._supervisor.start(provider))
        self._step("the database", lambda: call_command("migrate", verbosity=0))

    def _make_rows(self, asking: dict[str, Look[Listing]]) -> telling.Told:
        asked = {name: _answer(look) for name, look in asking.items()}
        fresh = {found.provider.name for found in self._keys.found if accounts.take_key(found, asked[found.provider.name])}
        if self._place.provider_port is not None:
            url = f"http://{children.LOCALHOST}:{self._place.provider_port}/v1"
            fresh |= {accounts.SIM} if accounts.take_sim(url, self._place.provider_key) else set()
        return telling.Told(
            url=self._place.url,
            state=self._place.state.folder,
            database=_database(),
            redis="Valkey, append-only file" if self._place.valkey_port else "REDIS_URL's",
            door=open_door(self._place.state, self._options.tenant),
            accounts=overview.accounts(),
            keys=self._keys,
            asked=asked,
            has_sim=self._place.provider_port is not None,
            fresh=frozenset(fresh),
            sign_in=sign_in_link(telling.OPERATOR, self._place.environment["RATEGUARD_URL"]),
        )

    def _start_line(self) -> None:
        self._step("the gate", _open_gate)
        web = children.web(self._options.port, self._options.host)
        self._step("the web process", lambda: self._supervisor.start(web))
        worker = dataclasses.replace(children.worker(WORKER_GRACE_S), ready=_has_worker)
        self._step("the worker", lambda: self._supervisor.start(worker))

    def _tell(self, told: telling.Told) -> None:
        if self._options.is_json:
            print(json.dumps(telling.as_json(told)), flush=True)
            return
        title = Text()
        title.append(" rateguard ", "bold reverse")
        title.append(f" is ready. {told.url}", "bold")
        self._console.print()
        self._console.print(title)
        self._console.print()
        print(in_lines(telling.page(told), sys.stdout))
        self._console.print()
        for line in telling.commands(told):
            print(line)
        self._console.print()
        self._console.print(Text("Ctrl-C ends it; the next start goes on with all jobs.", "dim"))
        sys.stdout.flush()


def _question(found: Found) -> Callable[[], Listing]:
    return lambda: list_models(found.base_url, found.key)


def _answer(look: Look[Listing]) -> Listing:
    try:
        return look.wait(TIMEOUT_S + 1)
    except TimeoutError:
        return Listing(0, int(TIMEOUT_S * 1_000), reason=f"no answer within {TIMEOUT_S:g} s")


def _database() -> str:
    return "SQLite" if connection.vendor == "sqlite" else "DATABASE_URL's PostgreSQL"


def _open_gate() -> None:
    """Rebuilt here where it lost its data, as it has after each start of a Valkey of ours: work moves at once."""
    if rebuild.is_lost(wiring.gate()):
        rebuild.rebuild(wiring.gate())


def _has_worker() -> bool:
    try:
        return any(holder.slots for holder in wiring.gate().inspect(()).holders)
    except GateError:
        return False
