"""Each metric counts its own part of an attempt, at the grant and at the end."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.limits.limit import Level, Metric
from tests.contract.gate_line import deployment, ended, model, node, window

AT_THE_GRANT = {
    Metric.REQUESTS: 1,
    Metric.TOKENS: 330,
    Metric.INPUT_TOKENS: 300,
    Metric.OUTPUT_TOKENS: 30,
    Metric.CONCURRENCY: 1,
    Metric.COST: 300 * 2 + 700 * 3,
    Metric.PROVIDER_TOKENS: 1_000,
}
AT_THE_END = {
    Metric.REQUESTS: 1,
    Metric.TOKENS: 250,
    Metric.INPUT_TOKENS: 200,
    Metric.OUTPUT_TOKENS: 50,
    Metric.CONCURRENCY: 1,
    Metric.COST: 77,
    Metric.PROVIDER_TOKENS: 250,
}


@pytest.fixture
def granted(line):
    """One attempt that every metric counts, on its tenant."""
    limits = [window(f"l{metric:d}", metric, 1_000_000, 60_000, Level.TENANT) for metric in Metric]
    names = [limit.id for limit in limits]
    dear = deployment(input_pico=2_000, output_pico=3_000)
    line.open(*limits, scopes=[node("p", *names)], models=[model("m", dear)])
    job = dataclasses.replace(line.job(), input_tokens=300, output_tokens=30, max_output_tokens=700)
    line.enqueue(job)
    return line.admit_all()


def test_there_is_a_figure_for_each_metric():
    assert [int(metric) for metric in Metric] == [1, 2, 3, 4, 5, 6, 7]  # what rows and the gate hold
    assert len(AT_THE_GRANT) == len(AT_THE_END) == len(Metric)


def test_an_attempt_reserves_its_part_of_each_metric(line, granted):
    assert {metric: line.used(f"l{metric:d}") for metric in Metric} == AT_THE_GRANT


def test_an_attempt_comes_to_what_it_used_of_each_metric(line, granted):
    line.step(settle=ended(granted, input_tokens=200, output_tokens=50, cost=77))

    assert {metric: line.used(f"l{metric:d}") for metric in Metric} == AT_THE_END
