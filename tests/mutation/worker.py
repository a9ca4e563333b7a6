"""A process in a copy of the project that has what the suite imports from others loaded already, and forks for each run of pytest.

Reads one JSON object a line, {argv, plan, folder, limit_s, keeps_bytecode}, and answers one number a line: pytest's exit code, or TOO_LONG.
Nothing of the project itself is loaded before the fork.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time

import django.test
import hypothesis.stateful
import msgpack
import psycopg
import pytest
import redis

from tests.mutation.asking import PLAN

LOADED = (django.test, hypothesis.stateful, msgpack, psycopg, redis)
TOO_LONG = -1
MOST_MEMORY = 8 << 30


def run_in_a_fork(request: dict) -> int:
    """One run of pytest; its servers end with it."""
    child = os.fork()
    if child == 0:
        os._exit(_run(request))
    deadline = time.monotonic() + request["limit_s"]
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TOO_LONG


def _run(request: dict) -> int:
    log = os.open(f"{request['folder']}/log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    os.environ[PLAN] = request["plan"]
    os.environ["TMPDIR"] = request["folder"]
    sys.dont_write_bytecode = not request["keeps_bytecode"]
    sys.argv = ["pytest", *request["argv"]]
    code = int(pytest.main(request["argv"]))
    sys.stdout.flush()
    return code


def main() -> None:
    """Until the line ends."""
    for line in sys.stdin:
        code = run_in_a_fork(json.loads(line))
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
