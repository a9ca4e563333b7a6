"""A campaign's evidence in a file, so that what was found can be looked at when the servers are gone."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

from rateguard.torture.checks.evidence import Evidence

NAME = "evidence.pickle"


def keep(evidence: Evidence, folder: Path) -> None:
    """Write it beside the logs."""
    with (folder / NAME).open("wb") as file:
        writer = pickle.Pickler(file)
        writer.dispatch_table = {type(threading.Lock()): lambda _: (threading.Lock, ())}  # the record's own is of no use later
        writer.dump(evidence)


def kept(path: Path) -> Evidence:
    """Read what `keep` wrote. Only from a file of one's own: reading it may run code."""
    found = pickle.loads(path.read_bytes())  # noqa: S301 - see above
    if not isinstance(found, Evidence):
        raise TypeError(f"{path} holds no evidence")
    return found
