"""While it serves: a line for each event, and on a terminal one line below that says what waits, what runs and what the day cost."""

from __future__ import annotations

import datetime as dt
import time

from django.db import DatabaseError
from django.db.models import Sum
from django.utils import timezone
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rateguard.embedded.news import News
from rateguard.embedded.stopping import StopSignals
from rateguard.engine.money import format_usd
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from tenants.models import UsageQuarter

LOOK_S = 1.0
LOOKING_SHARE = 0.02
"""At most this part of the time goes into looking, however many jobs wait."""


class Serving:
    """Shows a line until it is asked to stop."""

    def __init__(self, console: Console, news: News, stop: StopSignals, *, is_quiet: bool) -> None:
        self._console = console
        self._news = news
        self._stop = stop
        self._is_quiet = is_quiet
        self._told = 0

    def run(self) -> None:
        """Until Ctrl-C."""
        if self._is_quiet or not self._console.is_terminal:
            while not self._stop.wait(LOOK_S):
                self._tell_events()
        else:
            self._show_live()
        if not self._is_quiet:
            self._console.print(Text("ending; calls under way have up to 28 s (Ctrl-C again ends them now)", "dim"))

    def _show_live(self) -> None:
        with Live(Text(), console=self._console, auto_refresh=False, transient=True) as live:
            wait_s = 0.0
            while not self._stop.wait(wait_s):
                began_at = time.monotonic()
                self._tell_events()
                live.update(_line(), refresh=True)
                wait_s = max(LOOK_S, (time.monotonic() - began_at) / LOOKING_SHARE)

    def _tell_events(self) -> None:
        self._told, events = self._news.since(self._told)
        if self._is_quiet:
            return
        for event in events:
            self._console.print(Text(f"{dt.datetime.now():%H:%M:%S}  {event.text}", "yellow"))  # noqa: DTZ005 - for whoever sits here


def _line() -> Text:
    """What is going on, in one line."""
    text = Text(no_wrap=True)
    try:
        waiting = Job.objects.filter(state__in=(State.QUEUED, State.SCHEDULED)).order_by().count()
        running = Job.objects.filter(state=State.RUNNING).order_by().count()
        since = timezone.now() - dt.timedelta(days=1)
        day = UsageQuarter.objects.filter(starts_at__gte=since).aggregate(done=Sum("succeeded"), failed=Sum("failed"), cost=Sum("nano_usd"))
    except DatabaseError as error:
        return Text(f"the database does not answer: {error}", "red", no_wrap=True)
    text.append(f" {waiting:,} waiting ", "reverse" if waiting else "dim")
    text.append(f"  {running:,} running  ", "bold green" if running else "dim")
    text.append(f"  24 h: {day['done'] or 0:,} done", "dim")
    text.append(f", {day['failed'] or 0:,} failed", "red" if day["failed"] else "dim")
    text.append(f", {format_usd(round((day['cost'] or 0) / 1e5) * 100_000)}", "dim")
    return text
