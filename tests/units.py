"""What systemd's units in deploy/systemd say."""

from __future__ import annotations

import collections
import shlex
from pathlib import Path

UNITS = Path(__file__).parent.parent / "deploy" / "systemd"
NAMES = {"web": "rateguard-web.service", "worker": "rateguard-worker@.service", "migrate": "rateguard-migrate.service"}
VENV = "/srv/rateguard/.venv/bin/"

Unit = dict[str, list[str]]
"""The settings of a unit, whatever section they stand in: by name, in order."""


def unit(kind: str) -> Unit:
    """The unit of a kind of process."""
    found: Unit = collections.defaultdict(list)
    for line in (UNITS / NAMES[kind]).read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def command_of(kind: str) -> list[str]:
    """What the unit starts, as words."""
    (line,) = unit(kind)["ExecStart"]
    return shlex.split(line)


def variables_of(kind: str) -> dict[str, str]:
    """The variables that the unit sets by itself."""
    return dict(one.split("=", 1) for one in unit(kind)["Environment"])
