"""Waiting for jobs in tests: `from tests.following import follower, looking`."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import pytest

from rateguard.jobs.ends import follow

__all__ = ["follower", "looking"]


@pytest.fixture
def follower(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[follow.Follower]:
    """This test's own in place of the process's, ended with it."""
    follower = follow.Follower()
    monkeypatch.setattr(follow, "_follower", follower)
    monkeypatch.setattr(follow, "LISTEN_S", 0.05)
    monkeypatch.setattr(follow, "LOOK_AGAIN_S", 0.1)
    yield follower
    follower.stop()


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once who waits has looked at the row and saw no end: what happens from now on must wake it."""
    looked = threading.Event()
    real: Callable[[uuid.UUID], bool] = follow._has_ended

    def look(job_id: uuid.UUID) -> bool:
        found = real(job_id)
        looked.set()
        return found

    monkeypatch.setattr(follow, "_has_ended", look)
    return looked
