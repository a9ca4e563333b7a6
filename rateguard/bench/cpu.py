"""CPU time of processes, from the operating system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def cpu_ms(pid: int) -> float:
    """User and system time of a process and of its children that have ended, ms."""
    if sys.platform == "linux":
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) * 1000 / os.sysconf("SC_CLK_TCK")
    shown = subprocess.run(["/bin/ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout.strip()
    minutes, _, seconds = shown.rpartition(":")
    return (sum(int(part) * 60 ** (place + 1) for place, part in enumerate(reversed(minutes.split(":")))) + float(seconds)) * 1000


def tree_cpu_ms(pid: int) -> float:
    """The same of a process and all its living descendants."""
    return sum(cpu_ms(one) for one in (pid, *_descendants(pid)))


def _descendants(pid: int) -> list[int]:
    shown = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in shown.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, to_visit = [], [pid]
    while to_visit:
        for child in children.get(to_visit.pop(), []):
            found.append(child)
            to_visit.append(child)
    return found
