"""Child processes that never outlive us: each leads its own session, is ended with all that it started, and is watched by the keeper."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

_KEEPER_FILE = Path(__file__).with_name("keeper.py")
_REGISTER = 'echo "+$$" >&0; exec "$@" </dev/null'


class Leash:
    """The pipe to this process's keeper; a forked copy of this process gets no hold on it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._groups: set[int] = set()
        self._keeper: subprocess.Popen[bytes] | None = None
        os.register_at_fork(after_in_child=self._forget)

    def pipe(self) -> IO[bytes]:
        """The end of the pipe that a new group writes its own number into; starts the keeper where none is."""
        with self._lock:
            if self._keeper is None or self._keeper.poll() is not None:
                command = [sys.executable, "-I", "-S", str(_KEEPER_FILE)]
                # in its own session, where no Ctrl-C reaches it; unbuffered, so that one call is one line in the pipe
                self._keeper = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0, start_new_session=True
                )
                for group in self._groups:
                    self._tell(group)
            return cast("IO[bytes]", self._keeper.stdin)

    def hold(self, group: int) -> None:
        """Remember a group that has written its number itself, for a keeper that must be started again."""
        with self._lock:
            self._groups.add(group)

    def release(self, group: int) -> None:
        """The group has ended; its number may come back as somebody else's."""
        with self._lock:
            self._groups.discard(group)
            self._tell(-group)

    def _tell(self, number: int) -> None:
        if self._keeper is not None and self._keeper.stdin is not None and self._keeper.poll() is None:
            self._keeper.stdin.write(b"%+d\n" % number)

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._groups = set()
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper.stdin is not None:
            os.close(keeper.stdin.fileno())  # else a fork that lives on would hide our death from the keeper
            keeper.returncode = 0  # not this process's child


_leash = Leash()


def launch(
    argv: Sequence[str],
    *,
    output: int | IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user_id: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program at the head of its own session, its two outputs in `output`; as another user where root must not run it.

    The new process gives its number to the keeper before it becomes the program: there is no moment at which our death would be missed.
    Raises FileNotFoundError where there is no such program.
    """
    if shutil.which(argv[0], path=None if env is None else env.get("PATH")) is None:
        raise FileNotFoundError(f"there is no program {argv[0]}")
    process = subprocess.Popen(
        ["/bin/sh", "-c", _REGISTER, "sh", *argv],
        stdin=_leash.pipe(),
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if env is None else dict(env),
        cwd=cwd,
        start_new_session=True,
        user=user_id,
        group=None if user_id is None else user_id,
        extra_groups=None if user_id is None else [],
    )
    _leash.hold(process.pid)
    return process


def end(process: subprocess.Popen[bytes], *, grace_s: float, first: signal.Signals = signal.SIGTERM) -> int:
    """Ask the process to end, wait at most `grace_s` seconds, then kill it and whatever it started; returns its exit code.

    Only the head of the group is asked: a worker's children must not be cut off in their work while it drains.
    """
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)  # a frozen process cannot hear the request
            process.send_signal(first)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    return kill(process)


def kill(process: subprocess.Popen[bytes]) -> int:
    """End the process's whole group at once; returns the head's exit code, negative for a signal."""
    kill_group(process.pid)
    code = process.wait()
    _leash.release(process.pid)
    return code


def kill_group(group: int) -> None:
    """SIGKILL every process of the group that is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says "permission" of a group that holds only zombies
        os.killpg(group, signal.SIGKILL)


def exit_reason(code: int) -> str:
    """What an exit code says, in words: `exit code 2`, `killed by SIGSEGV`."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def last_lines(log: Path, count: int = 10) -> str:
    """The end of a log, to stand in an error's message."""
    text = log.read_bytes()[-8192:].decode(errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-count:])


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now; whoever binds it later must be ready to find it taken."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
