"""One process's clock is five minutes wrong: it dies, and its next life has another clock than all others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from rateguard.embedded.surroundings import PROJECT
from rateguard.proofs.fleet import AHEAD_VARIABLE, OFF_CLOCK
from rateguard.torture.faults.kills import BACK_S
from rateguard.torture.site import Site

WRONG_BY_S = 300
_LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")


@dataclasses.dataclass(slots=True)
class WrongClock:
    """The clock is moved by libfaketime where the machine has it, else in everything by which Python tells the time.

    Monotonic clocks stay, as on a machine whose wall clock is wrong.
    """

    target: str
    ahead_s: int

    def begin(self, site: Site) -> str:
        """Kill the process; its next life is ahead by so many seconds."""
        site.clocks[self.target], by = _moved(self.ahead_s)
        site.processes[self.target].kill()
        return f"{self.ahead_s:+d} s, by {by}"

    def end(self, site: Site) -> str:
        """Kill it again; its next life has the true clock."""
        site.clocks.pop(self.target, None)
        site.processes[self.target].kill()
        site.processes[self.target].wait_ready(BACK_S)
        return ""


def _moved(ahead_s: int) -> tuple[Mapping[str, str], str]:
    """The variables of a process with a moved clock, and what moves it."""
    library = next((str(found) for pattern in _LIBRARIES for found in Path("/").glob(pattern[1:])), None)
    if library is not None:
        return {"LD_PRELOAD": library, "FAKETIME": f"{ahead_s:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}, "libfaketime"
    return {AHEAD_VARIABLE: str(ahead_s), "PYTHONPATH": f"{OFF_CLOCK}:{PROJECT}"}, "a moved Python"
