"""The line's fixtures, and a line on any server."""

import contextlib

import pytest

from tests.line import fragile, line, live, live_at, own_valkey, sim, sim_process, station

__all__ = ["fragile", "line", "live", "live_on", "own_valkey", "sim", "sim_process", "station"]


@pytest.fixture
def live_on(child_env, sim, settings, monkeypatch, tmp_path):
    """Makes a line whose workers and callers find Redis at a URL. Submit by `caller`: this process's Celery knows the session's server."""
    with contextlib.ExitStack() as stack:

        def live_on(url, **environment):
            settings.REDIS_URL = url
            return stack.enter_context(live_at(url, {**child_env, **environment}, sim, monkeypatch, tmp_path))

        yield live_on
