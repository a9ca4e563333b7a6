"""The host process of the campaign: started, read line by line as it promises things, and ended.

Each of its lines that begins with MARK is JSON: `at` and one of `accepted` (ids; with `after`, those that must succeed first; with
`delivery`), `rolled_back` (ids that nobody may ever run), `refused`, `unanswered`, `ended`.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import sys
import threading
import time
import typing
import uuid
from typing import Any

from rateguard.embedded import process
from rateguard.torture.record import Accepted, Record

if typing.TYPE_CHECKING:
    import subprocess

    from rateguard.torture.site import Site

HOST = "host"
"""Its name where it has wires of its own."""
MARK = "@@ "
GRACE_S = 10.0
TELLS_S = 0.5


class Host:
    """One process that calls `.delay()`. share: its deeds a second."""

    def __init__(self, site: Site, record: Record, seed: int, share: float) -> None:
        self._site, self._record = site, record
        self._arguments = [str(seed), f"{max(0.3, share):.2f}"]
        self._stop = site.folder / "host.stop"
        self._running: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._has_ended = False
        self.told: collections.Counter[str] = collections.Counter()

    def start(self) -> None:
        """Start it; what it prints is read by a thread, and kept in a log."""
        read_end, write_end = os.pipe()
        argv = [sys.executable, "-m", "rateguard.torture.work.host", *self._arguments, str(self._stop)]
        try:
            self._running = process.launch(argv, output=write_end, env=self._site.environment_of(HOST), cwd=self._site.folder)
        finally:
            os.close(write_end)
        self._reader = threading.Thread(target=self._read, args=(read_end,), name="torture-host", daemon=True)
        self._reader.start()

    def stop_submitting(self) -> None:
        """It ends after what it does now."""
        self._stop.touch()

    def wait_done(self, deadline: float) -> bool:
        """Until it has ended by itself, by `time.monotonic()`; True where it was never started."""
        if self._running is None:
            return True
        while self._running.poll() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        self.close()
        return True

    def close(self) -> None:
        """End it, whatever it does; closing twice is harmless."""
        if self._running is not None:
            if self._running.poll() is None:
                self._running.send_signal(signal.SIGUSR1)  # its log then says where it hangs
                time.sleep(TELLS_S)
            process.end(self._running, grace_s=GRACE_S)
            self._running = None
            if self._reader is not None:
                self._reader.join(GRACE_S)
            self._record.notes.append("the host process: " + ", ".join(f"{count} {what}" for what, count in sorted(self.told.items())))
            if not self._has_ended:
                self._record.notes.append("the host process did not end by itself: see host.log")

    def _read(self, read_end: int) -> None:
        with os.fdopen(read_end, encoding="utf-8", errors="replace") as lines, (self._site.folder / "host.log").open("w") as log:
            for line in lines:
                if line.startswith(MARK):
                    self._take(json.loads(line.removeprefix(MARK)))
                else:
                    log.write(line)
                    log.flush()

    def _take(self, told: dict[str, Any]) -> None:
        """One promise, or what came in its place."""
        self._has_ended = self._has_ended or "ended" in told
        for what in ("accepted", "rolled_back"):
            self.told[what] += len(told.get(what, ()))
        for what in ("refused", "unanswered"):
            self.told[what] += what in told
        self._site.world.rolled_back.extend(map(uuid.UUID, told.get("rolled_back", ())))
        line = "after " + " ".join(told["after"]) if "after" in told else ""
        delivery = told.get("delivery", "at_least_once")
        for job in told.get("accepted", ()):
            self._record.accepted.append(Accepted(uuid.UUID(job), told["at"], "delay", delivery, has_webhook=False, line=line))
