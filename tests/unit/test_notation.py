import random

import pytest

from rateguard.engine.errors import InvalidRequest
from tenants.models import LimitKind, Metric
from tenants.models.limits import MAX_AMOUNT, MAX_WINDOW_MS, MIN_WINDOW_MS
from tenants.notation import LimitValue, format_limit, parse_limit

WINDOWED = [metric for metric in Metric if metric != Metric.CONCURRENCY]
WHOLE_UNITS_MS = [1_000, 2_000, 10_000, 60_000, 3_600_000, 86_400_000]


def random_limit(rng):
    amount = rng.choice([1, MAX_AMOUNT, rng.randint(1, MAX_AMOUNT)])
    window_ms = rng.choice([*WHOLE_UNITS_MS, MIN_WINDOW_MS, MAX_WINDOW_MS, rng.randint(MIN_WINDOW_MS, MAX_WINDOW_MS)])
    return LimitValue(amount, rng.choice(WINDOWED), LimitKind.WINDOW, window_ms)


def test_a_limit_that_is_written_is_read_back_the_same():
    rng = random.Random(11)
    for value in [*(random_limit(rng) for _ in range(1_000)), LimitValue(50, Metric.CONCURRENCY, LimitKind.CONCURRENCY, 0)]:
        assert parse_limit(format_limit(value)) == value


@pytest.mark.parametrize(
    ("text", "amount", "metric", "window_ms"),
    [
        ("600/min", 600, Metric.REQUESTS, 60_000),
        ("600 requests/60s", 600, Metric.REQUESTS, 60_000),
        ("280000 tokens/10s", 280_000, Metric.TOKENS, 10_000),
        ("280k tokens / 10 s", 280_000, Metric.TOKENS, 10_000),
        ("1.5M input tokens/day", 1_500_000, Metric.INPUT_TOKENS, 86_400_000),
        ("1,000 output_tokens/2h", 1_000, Metric.OUTPUT_TOKENS, 7_200_000),
        ("5/500ms", 5, Metric.REQUESTS, 500),
        ("50 concurrent", 50, Metric.CONCURRENCY, 0),
    ],
)
def test_people_write_limits_in_several_ways(text, amount, metric, window_ms):
    kind = LimitKind.WINDOW if window_ms else LimitKind.CONCURRENCY
    assert parse_limit(text) == LimitValue(amount, metric, kind, window_ms)


@pytest.mark.parametrize(
    "text", ["", "many/min", "0/min", "5000000000/min", "1.5/min", "5 apples/min", "5/fortnight", "5/50ms", "5/32day", "5", "-5/min"]
)
def test_what_is_no_limit_is_refused_with_how_to_write_one(text):
    with pytest.raises(InvalidRequest, match="600/min") as caught:
        parse_limit(text)
    assert caught.value.code == "bad_limit"
