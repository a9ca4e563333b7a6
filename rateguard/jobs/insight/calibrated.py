"""How far our counts of a deployment's input are from its provider's, as the caretaker has learned it. Read again after a minute."""

from __future__ import annotations

import threading
import time

from rateguard.engine.tokens.calibration import Learned
from rateguard.jobs.models import Calibration

FRESH_S = 60.0

_lock = threading.Lock()
_known: tuple[float, dict[int, Learned]] | None = None


def learned() -> dict[int, Learned]:
    """What is known, by deployment. One statement a minute."""
    global _known  # noqa: PLW0603 - one figure a process
    with _lock:
        if _known is not None and time.monotonic() - _known[0] < FRESH_S:
            return _known[1]
    found = {row.deployment_id: as_learned(row) for row in Calibration.objects.all()}
    with _lock:
        _known = (time.monotonic(), found)
    return found


def reserve_permille(deployment_id: int) -> int:
    """What to reserve for a deployment's input, in thousandths of our count."""
    return learned().get(deployment_id, _NOTHING).reserve_permille


def as_learned(row: Calibration) -> Learned:
    """The engine's value of a row."""
    return Learned(row.mean_permille, row.samples, tuple(row.bins))


def forget() -> None:
    """Read everything anew at the next use."""
    global _known  # noqa: PLW0603 - as above
    with _lock:
        _known = None


_NOTHING = Learned()
