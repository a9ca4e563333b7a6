"""Who must be alone waits for those who run, and nobody begins meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.alone import FOLDER_VARIABLE, in_turn

SOON_S = 0.05


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with ThreadPoolExecutor(4) as threads:
        yield threads


class Runner:
    """One test of another process: it begins when it may, and ends when told."""

    def __init__(self, threads, *, is_alone):
        self.began, self._may_end = threading.Event(), threading.Event()
        self._done = threads.submit(self._run, is_alone)

    def _run(self, is_alone):
        with in_turn(is_alone=is_alone):
            self.began.set()
            self._may_end.wait(10)

    def end(self):
        self._may_end.set()
        self._done.result(10)


def test_tests_run_together_unless_one_must_be_alone(folder):
    first, second = (Runner(folder, is_alone=False) for _ in range(2))
    assert first.began.wait(10)
    assert second.began.wait(10)
    lonely = Runner(folder, is_alone=True)
    first.end()
    assert not lonely.began.wait(SOON_S)
    later = Runner(folder, is_alone=False)
    assert not later.began.wait(SOON_S)
    second.end()
    assert lonely.began.wait(10)
    assert not later.began.wait(SOON_S)
    lonely.end()
    assert later.began.wait(10)
    later.end()
