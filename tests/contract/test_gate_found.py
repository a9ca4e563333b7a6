"""Faults that random steps have found, each held by itself."""

from __future__ import annotations

import dataclasses

from rateguard.engine.gate.contract import Running
from rateguard.engine.limits.limit import Kind, Level
from tests.contract.gate_line import bucket, ended, node, requests, sent

HOUR_MS = 3_600_000


def test_what_counts_late_under_a_default_that_was_swept_meanwhile_counts_for_its_node_again(line):
    line.open(requests("d:r", 5, level=Level.LEAF), scopes=[node("p", user=("d:r",))])
    line.enqueue(line.job("p|user:a"))
    granted = line.admit_all()
    line.step(sent=sent(granted))
    line.wait(HOUR_MS)
    assert line.nodes() == {}

    line.step(settle=ended(granted, input_tokens=1, output_tokens=1, counted_ago_ms=20))

    assert line.used("d:r@user:a") == 1
    assert line.nodes() == {"p": 1}
    line.wait(HOUR_MS)
    line.wait(HOUR_MS)
    assert line.nodes() == {}


def test_a_bucket_that_is_rebuilt_counts_what_runs_from_when_it_was_sent(line):
    line.open(bucket("b", 60, 10_000), scopes=[node("p", "b")])
    job = dataclasses.replace(line.job(), attempt=1)
    line.gate.clear()
    line.configure(bucket("b", 60, 10_000), scopes=(node("p", "b"),))
    line.gate.restore((), tuple(Running(dataclasses.replace(job, attempt=at), "1", "w", 101, 0) for at in (1, 2)), ())
    line.gate.open(2)

    assert line.used("b") == 2
    line.wait(233)
    assert line.used("b") == 0


def test_what_is_used_stays_when_a_window_becomes_a_bucket_and_a_bucket_a_window(line):
    record = requests("l", 10, 10_000, Level.TENANT)
    line.open(record, scopes=[node("p", "l")])
    line.enqueue(*line.jobs(20))
    line.step(8)

    line.configure(dataclasses.replace(record, kind=Kind.BUCKET))
    assert line.used("l") == 8
    assert len(line.admit_all()) == 2
    line.wait(5_000)

    line.configure(record, version=3)
    assert line.used("l") == 5
    assert len(line.admit_all()) == 5
    assert not line.admit_all()
