"""Jobs that come in one by one reach the gate a few at a time, and a single one at once."""

import time

from rateguard.jobs.line import pump
from rateguard.jobs.line.pump import process_pump


def test_of_many_jobs_in_a_row_those_of_a_moment_share_a_call(line, monkeypatch):
    calls, real = [], line.gate.step
    monkeypatch.setattr(line.gate, "step", lambda step: calls.append(len(step.enqueue)) or real(step))
    monkeypatch.setattr(pump, "ENQUEUE_GAP_S", 0.2)
    for _ in range(10):
        line.submit()
    line.settled()
    assert sum(calls) == 10
    assert len(calls) <= 6  # the first at once, the others in steps of the gap, however slow the machine


def test_a_job_that_comes_alone_does_not_wait_for_company(line, monkeypatch):
    monkeypatch.setattr(pump, "ENQUEUE_GAP_S", 60)
    process_pump()._called_at = time.monotonic() - 61
    line.submit()
    line.settled()
