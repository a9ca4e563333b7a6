"""A campaign from its first process to its last figure: set up, traffic, faults, the work's end, the books, the checks.

Django is set up by now on the site's database: whoever imports this has done it (see __main__.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from django.core.management import call_command
from rich.console import Console

from rateguard.embedded.stopping import StopSignals
from rateguard.jobs.line.pump import process_pump
from rateguard.torture.checks import check
from rateguard.torture.checks.bill import reconcile_all
from rateguard.torture.looking import Looker
from rateguard.torture.options import Options
from rateguard.torture.record import Findings, Record
from rateguard.torture.report import Outcome
from rateguard.torture.schedule import Planned, span_of
from rateguard.torture.site import Site
from rateguard.torture.striking import Striker
from rateguard.torture.view import Display, Scene, display_for
from rateguard.torture.work import Traffic, setup

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

LOOK_S = 0.5
SUBMITTING_SHARE = 0.85
"""The jobs come in over this part of the span: faults that come late find work too, and the end is quiet."""
PATIENCE_S, PATIENCE_A_JOB_S = 90.0, 0.05
"""How long the work may take to end once the last fault is over."""
AT_REST_S = 4.0
"""What follows the last end (settlements at the gate, rollups, the last webhook) has so long before anybody checks."""


class Campaign:
    """One run on a site whose servers stand."""

    def __init__(self, site: Site, record: Record, planned: Sequence[Planned], options: Options, stop: StopSignals) -> None:
        self._site = site
        self._record = record
        self._planned = planned
        self._options = options
        self._stop = stop
        self._striker = Striker(site, record, planned)
        self._looker = Looker(site.direct_database_url)
        self._span_s = span_of(planned)
        self._over_s = SUBMITTING_SHARE * self._span_s
        self._began_at = time.monotonic()
        self._failures: list[str] = []

    def run(self) -> Outcome:
        """Everything in order. Raises KeyboardInterrupt, and what a server's start raises."""
        with display_for(Console(stderr=True)) as display:
            self._set_up(display)
            traffic = Traffic(self._site, self._record, self._record.seed, self._options.jobs, self._over_s)
            self._looker.start()
            try:
                self._work(display, traffic)
            finally:
                self._striker.stop()
                traffic.close()
                self._looker.stop()
            findings = self._beside(display, "the books and the checks", self._settle_and_check)
        findings.seed = self._record.seed
        findings.jobs = len(self._record.accepted)
        ours = [fault for fault in self._record.faults if not fault.is_provider]
        findings.faults, findings.provider_faults = len(ours), len(self._record.faults) - len(ours)
        findings.fault_kinds = sorted({fault.kind for fault in self._record.faults})
        return Outcome(self._record.seed, findings, [*self._failures, *self._striker.failures])

    # ---- in order

    def _set_up(self, display: Display) -> None:
        self._beside(display, "starting", lambda: setup(self._site, self._options.jobs, self._over_s))
        self._beside(display, "starting", self._site.start_processes)

    def _work(self, display: Display, traffic: Traffic) -> None:
        self._began_at = time.monotonic()
        traffic.start()
        self._striker.start()
        while not self._striker.is_over:
            self._show(display, "striking")
        traffic.stop_submitting()
        patience_s = PATIENCE_S + PATIENCE_A_JOB_S * self._options.jobs
        if not self._beside(display, "the work ends", lambda: traffic.wait_done(patience_s)):
            self._failures.append(f"the work did not end within {patience_s:g} s of the last fault")
        self._beside(display, "the work ends", lambda: self._stop.wait(AT_REST_S))

    def _settle_and_check(self) -> Findings:
        for report in reconcile_all(self._site.provider_log):
            self._record.notes.append(f"reconciled: {report}"[:2_000])
        findings = check(self._site, self._record, self._record.faults)
        for key, lines in findings.details.items():
            self._record.notes.extend(f"{key}: {line}" for line in lines)
        return findings

    # ---- while something takes its time

    def _beside(self, display: Display, phase: str, work: Callable[[], Result]) -> Result:
        """Do it in a thread while the view goes on; Ctrl-C ends the wait. Raises what it raises."""
        done: list[Result] = []
        broken: list[BaseException] = []

        def run() -> None:
            try:
                done.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                broken.append(error)

        thread = threading.Thread(target=run, name=f"campaign: {phase}", daemon=True)
        thread.start()
        while thread.is_alive():
            self._show(display, phase, thread)
        if broken:
            raise broken[0]
        return done[0]

    def _show(self, display: Display, phase: str, thread: threading.Thread | None = None) -> None:
        display.show(self._scene(phase))
        if thread is not None:
            thread.join(LOOK_S)
        else:
            self._stop.wait(LOOK_S)
        if self._stop.is_set():
            raise KeyboardInterrupt

    def _scene(self, phase: str) -> Scene:
        asked = list(self._record.asked)
        seen = self._looker.seen
        return Scene(
            phase=phase,
            seed=self._record.seed,
            at_s=time.monotonic() - self._began_at,
            span_s=self._span_s,
            accepted=len(self._record.accepted),
            refused=sum(one.status >= 400 for one in asked),
            unanswered=sum(one.status == 0 for one in asked),
            states=seen.states,
            database_answers=seen.answers,
            up={name: process.is_ready() for name, process in self._site.processes.items()},
            faults=self._record.faults,
            began_at=self._began_at,
            planned=len(self._planned),
        )


def run(site: Site, record: Record, planned: Sequence[Planned], options: Options) -> Outcome:
    """The campaign on this site. Raises KeyboardInterrupt when it was told to stop, and RateguardError where it cannot go on."""
    with StopSignals() as stop:
        try:
            call_command("migrate", verbosity=0)
            return Campaign(site, record, planned, options, stop).run()
        finally:
            process_pump().stop(1.0)
