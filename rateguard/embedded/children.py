"""The processes of a line on one machine, as a supervisor runs them: Valkey, the web process, the worker, the simulated provider."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

from rateguard.embedded.supervisor import Child
from rateguard.embedded.valkey import is_answering, valkey_argv
from rateguard.engine.providers.sim.server import CONTROL_TOKEN_VARIABLE

LOCALHOST = "127.0.0.1"
WORKER, WEB, PROVIDER, VALKEY = "worker", "web", "provider", "valkey"


def valkey(state: Path, port: int, password_file: Path | None = None) -> Child:
    """Redis's part, with an append-only file: after a kill the same data come back. password_file: lines of configuration and a password.

    The password stands in the file alone, `requirepass …`: a command line is everybody's to read.
    """
    state.mkdir(exist_ok=True)
    argv = valkey_argv(state, port)
    if password_file is None:
        return Child(name=VALKEY, argv=argv, ready=lambda: is_answering(port))
    password = password_file.read_text(encoding="ascii").split()[-1]
    return Child(
        name=VALKEY, argv=[argv[0], str(password_file), *argv[1:]], ready=lambda: is_answering(port, password=password), grace_s=20
    )


def provider(port: int, control_token: str, *, restart: bool) -> Child:
    """The simulated provider. Its bill is gone when it dies: whoever needs that as a witness lets it stay down."""
    return Child(
        name=PROVIDER,
        argv=[sys.executable, "-m", "rateguard.engine.providers.sim", "--port", str(port)],
        env={CONTROL_TOKEN_VARIABLE: control_token},
        ready=lambda: answers(f"http://{LOCALHOST}:{port}/v1/models"),
        restart=restart,
        grace_s=3,
    )


def web(port: int, host: str = LOCALHOST) -> Child:
    """The web process."""
    listening = ["--host", host, "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-server-header"]
    return Child(
        name=WEB,
        argv=[sys.executable, "-m", "uvicorn", "rateguard.asgi:application", *listening, "--log-level", "warning", "--no-access-log"],
        ready=lambda: answers(f"http://{reached_at(host)}:{port}/api/v1"),
        grace_s=6,
    )


def worker(grace_s: float) -> Child:
    """A Celery worker with our pool, all lanes. grace_s: how long calls under way may take to end."""
    return Child(
        name=WORKER,
        argv=[sys.executable, "-m", "celery", "-A", "rateguard", "worker", "--without-mingle", "--without-gossip", "--loglevel", "info"],
        grace_s=grace_s,
    )


def reached_at(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`.

    >>> reached_at("0.0.0.0"), reached_at("::"), reached_at("10.0.0.7")
    ('127.0.0.1', '[::1]', '10.0.0.7')
    """
    if host in {"", "0.0.0.0"}:  # noqa: S104 - told apart, not listened on
        return LOCALHOST
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def answers(url: str) -> bool:
    """Whether a server answers at all, with whatever status."""
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own process
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
