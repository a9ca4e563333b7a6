"""How each provider counts what its own limits limit."""

from __future__ import annotations

import pytest

from rateguard.engine.limits.limit import Metric
from rateguard.engine.providers.base import Target
from tenants.records.counting import STRICTEST, admission_at, counted_as


def counted(provider: str, metric: Metric, model: str = "m", **options):
    found = counted_as(metric, admission_at([Target(provider, "", "", model, options=options)]))
    return found["metric"], found["gives_back"], found.get("counts_cached", True), found.get("output_permille", 1_000)


@pytest.mark.parametrize(
    ("provider", "metric", "expected"),
    [
        ("openai", Metric.TOKENS, (Metric.PROVIDER_TOKENS, False, True, 1_000)),
        ("azure", Metric.TOKENS, (Metric.PROVIDER_TOKENS, False, True, 1_000)),
        ("anthropic", Metric.INPUT_TOKENS, (Metric.INPUT_TOKENS, True, False, 1_000)),
        ("anthropic", Metric.OUTPUT_TOKENS, (Metric.OUTPUT_TOKENS, True, False, 1_000)),
        ("anthropic", Metric.TOKENS, (Metric.TOKENS, True, False, 1_000)),
        ("gemini", Metric.TOKENS, (Metric.INPUT_TOKENS, False, True, 1_000)),
        ("openai", Metric.REQUESTS, (Metric.REQUESTS, False, True, 1_000)),
        ("anthropic", Metric.REQUESTS, (Metric.REQUESTS, False, True, 1_000)),
        ("anthropic", Metric.CONCURRENCY, (Metric.CONCURRENCY, True, True, 1_000)),
    ],
)
def test_a_limit_counts_as_its_provider_does(provider, metric, expected):
    assert counted(provider, metric) == expected


def test_a_token_of_output_at_bedrock_weighs_what_its_model_s_burndown_says():
    assert counted("bedrock", Metric.TOKENS, output_permille=5_000) == (Metric.PROVIDER_TOKENS, True, False, 5_000)


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("claude-sonnet-4-5@20250929", {}, (Metric.TOKENS, True, False, 1_000)),
        ("tuned", {"base_model": "claude-haiku-4-5"}, (Metric.TOKENS, True, False, 1_000)),
        ("gemini-2.5-flash", {}, (Metric.INPUT_TOKENS, False, True, 1_000)),
    ],
)
def test_claude_at_vertex_counts_as_at_anthropic_and_gemini_does_not(model, options, expected):
    assert counted("vertex", Metric.TOKENS, model, **options) == expected


def test_at_an_account_with_models_of_both_makers_what_any_counts_does():
    both = admission_at([Target("vertex", "", "", model) for model in ("gemini-2.5-flash", "claude-sonnet-4-5")])
    assert (both.counts_output, both.counts_cached, both.gives_back) == (True, True, False)


def test_at_an_account_the_heaviest_of_its_models_counts():
    light, heavy = (Target("bedrock", "", "", "m", options={"output_permille": weight}) for weight in (1_000, 15_000))

    assert admission_at([light, heavy]).output_permille == 15_000


def test_a_provider_that_nobody_knows_counts_everything_and_gives_nothing_back():
    assert admission_at([Target("of-a-project", "", "", "m")]) == STRICTEST == admission_at([])
