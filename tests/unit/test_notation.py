import random

import pytest

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.engine.money import MAX_BUDGET_NANO_USD, NANO
from tenants.models import BudgetPeriod, BudgetUnit, LimitKind, Metric, ModelRoute, OnExhausted
from tenants.models.limits import MAX_AMOUNT, MAX_WINDOW_MS, MIN_WINDOW_MS
from tenants.notation import BudgetValue, LimitValue, budget_fields, format_budget, format_limit, parse_budget, parse_limit

WINDOWED = [metric for metric in Metric if metric != Metric.CONCURRENCY]
WHOLE_UNITS_MS = [1_000, 2_000, 10_000, 60_000, 3_600_000, 86_400_000]


def random_limit(rng):
    amount = rng.choice([1_000, MAX_AMOUNT, rng.randint(1_000, MAX_AMOUNT)])
    window_ms = rng.choice([*WHOLE_UNITS_MS, MIN_WINDOW_MS, MAX_WINDOW_MS, rng.randint(MIN_WINDOW_MS, MAX_WINDOW_MS)])
    kind = rng.choice([LimitKind.WINDOW, LimitKind.BUCKET, LimitKind.LEARNED])
    reserve = rng.choice([(0, None), (rng.randint(1, 900), rng.choice([Lane.CRITICAL, Lane.LOW]))])
    return LimitValue(amount, rng.choice(WINDOWED), kind, window_ms, rng.choice([1_000, rng.randint(1, 1_000)]), *reserve)


def test_a_limit_that_is_written_is_read_back_the_same():
    rng = random.Random(11)
    concurrent = LimitValue(50, Metric.CONCURRENCY, LimitKind.CONCURRENCY, 0)
    reserved = LimitValue(50, Metric.CONCURRENCY, LimitKind.CONCURRENCY, 0, 1_000, 125, Lane.HIGH)
    for value in [*(random_limit(rng) for _ in range(1_000)), concurrent, reserved]:
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
    ("text", "kind", "burst", "reserve", "lane"),
    [
        ("bucket 60/min", LimitKind.BUCKET, 1_000, 0, None),
        ("learned 60/min", LimitKind.LEARNED, 1_000, 0, None),
        ("bucket 60/min burst 20%", LimitKind.BUCKET, 200, 0, None),
        ("60/min, burst 12.5 %", LimitKind.WINDOW, 125, 0, None),
        ("60/min reserve 20% for high", LimitKind.WINDOW, 1_000, 200, Lane.HIGH),
        ("bucket 60 / min, burst 50%, reserve 90% for low", LimitKind.BUCKET, 500, 900, Lane.LOW),
    ],
)
def test_a_limit_says_how_much_may_come_at_once_and_what_is_kept_for_whom(text, kind, burst, reserve, lane):
    assert parse_limit(text) == LimitValue(60, Metric.REQUESTS, kind, 60_000, burst, reserve, lane)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many/min",
        "0/min",
        "5000000000/min",
        "1.5/min",
        "5 apples/min",
        "5/fortnight",
        "5/50ms",
        "5/32day",
        "5",
        "-5/min",
        "5/min burst 0%",
        "5/min burst 101%",
        "5/min burst 1.25%",
        "5/min burst",
        "5/min reserve 20%",
        "5/min reserve 91% for high",
        "5/min reserve 20% for background",
        "bucket 5/min burst 10%",
        "bucket 50 concurrent",
    ],
)
def test_what_is_no_limit_is_refused_with_how_to_write_one(text):
    with pytest.raises(InvalidRequest, match="600/min") as caught:
        parse_limit(text)
    assert caught.value.code == "bad_limit"


def test_a_reserve_for_an_unknown_lane_is_refused_with_the_lanes():
    with pytest.raises(InvalidRequest, match="critical, high"):
        parse_limit("5/min reserve 20% for vip")


# ---- budgets


def random_budget(rng):
    unit = rng.choice(list(BudgetUnit))
    end, model = rng.choice([(OnExhausted.REJECT, ""), (OnExhausted.HOLD, ""), (OnExhausted.DOWNGRADE, "gpt-5.4-nano")])
    shares = rng.choice([(50, 80, 100), (), (1,), tuple(sorted(rng.sample(range(1, 101), 5)))])
    return BudgetValue(rng.randint(0, MAX_BUDGET_NANO_USD), unit, rng.choice(list(BudgetPeriod)), end, model, shares)


def test_a_budget_that_is_written_is_read_back_the_same():
    rng = random.Random(12)
    for value in [random_budget(rng) for _ in range(1_000)]:
        assert parse_budget(format_budget(value)) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$5/day", BudgetValue(5 * NANO, BudgetUnit.USD, BudgetPeriod.DAY)),
        ("$0.25 / week", BudgetValue(NANO // 4, BudgetUnit.USD, BudgetPeriod.WEEK)),
        ("$1,250.50 in total", BudgetValue(1_250 * NANO + NANO // 2, BudgetUnit.USD, BudgetPeriod.TOTAL)),
        ("2M tokens/month, hold", BudgetValue(2_000_000, BudgetUnit.TOKENS, BudgetPeriod.MONTH, OnExhausted.HOLD)),
        ("$5/day reject", BudgetValue(5 * NANO, BudgetUnit.USD, BudgetPeriod.DAY)),
        ("$5/day downgrade to a/b-1.5", BudgetValue(5 * NANO, BudgetUnit.USD, BudgetPeriod.DAY, OnExhausted.DOWNGRADE, "a/b-1.5")),
        ("$5/day hold tell at 90% 100%", BudgetValue(5 * NANO, BudgetUnit.USD, BudgetPeriod.DAY, OnExhausted.HOLD, "", (90, 100))),
        ("$5/day tell never", BudgetValue(5 * NANO, BudgetUnit.USD, BudgetPeriod.DAY, thresholds=())),
        ("$5/day, tell at 10%", BudgetValue(5 * NANO, BudgetUnit.USD, BudgetPeriod.DAY, thresholds=(10,))),
    ],
)
def test_people_write_budgets_in_several_ways(text, expected):
    assert parse_budget(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$5",
        "5/day",
        "$5 tokens/day",
        "$5/hour",
        "$-5/day",
        "$0.0000000001/day",
        "1.5 tokens/day",
        "$9000000.01 in total",
        "$5/day downgrade",
        "$5/day borrow",
        "$5/day tell at 0%",
        "$5/day tell at 80% 50%",
    ],
)
def test_what_is_no_budget_is_refused_with_how_to_write_one(text):
    with pytest.raises(InvalidRequest, match=r"\$5/day") as caught:
        parse_budget(text)
    assert caught.value.code == "bad_budget"


@pytest.mark.django_db
def test_a_budget_that_downgrades_names_a_model_that_there_is():
    with pytest.raises(InvalidRequest, match="no model 'small'"):
        budget_fields("$5/day downgrade to small")
    small = ModelRoute.objects.create(name="small")
    assert budget_fields("$5/day downgrade to small")["downgrade_to"] == small
