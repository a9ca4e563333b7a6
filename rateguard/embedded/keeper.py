"""Runs beside whoever starts servers, and ends their process groups when that one is gone, even by SIGKILL.

Its standard input is a pipe that only the starter holds: `+123` asks to watch group 123, `-123` to forget it,
and the end of the pipe is the starter's end.
A file of its own, run by path without site-packages: it starts in a few milliseconds and needs nothing of the project.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Watch until the pipe ends, then kill what is still watched."""
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        number = int(line)
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
