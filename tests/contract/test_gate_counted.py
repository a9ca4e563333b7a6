"""What a provider counts is data of its limit: input alone or with the answer, cached input or not, output by its weight."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.limits.limit import Metric
from tests.contract.gate_line import deployment, ended, model, window


def open_with(line, **record) -> None:
    limit = {"metric": Metric.PROVIDER_TOKENS, "amount": 10_000, "window_ms": 60_000, "gives_back": True, **record}
    line.open(
        window("a:t", limit.pop("metric"), limit.pop("amount"), limit.pop("window_ms"), **limit), models=[model("m", deployment("a:t"))]
    )


def run(line, **figures):
    """One job of 1,000 tokens of input and at most 400 of output; returns what is used when it is granted and when it ended."""
    job = line.job()
    line.enqueue(dataclasses.replace(job, input_tokens=1_000, output_tokens=50, max_output_tokens=400))
    (grant,) = line.admit_all()
    at_first = line.used("a:t")
    line.step(settle=ended([grant], **figures))
    return at_first, line.used("a:t")


USED = {"input_tokens": 1_000, "cached_tokens": 900, "output_tokens": 100}


@pytest.mark.parametrize(
    ("record", "reserved", "counted"),
    [
        ({}, 1_400, 1_100),  # max_tokens at admission, settled to what came
        ({"gives_back": False}, 1_400, 1_400),  # OpenAI: what was counted stays
        ({"counts_cached": False}, 1_400, 200),
        ({"metric": Metric.INPUT_TOKENS, "counts_cached": False}, 1_000, 100),  # Anthropic's input a minute
        ({"metric": Metric.OUTPUT_TOKENS}, 50, 100),  # and its output, as it comes
        ({"counts_cached": False, "output_permille": 5_000}, 1_400, 600),  # Bedrock's burndown
        ({"output_permille": 1_001}, 1_400, 1_101),  # parts of a token count as one
    ],
)
def test_a_provider_s_tokens_are_counted_as_it_counts_them(line, record, reserved, counted):
    open_with(line, **record)

    assert run(line, **USED) == (reserved, counted)
