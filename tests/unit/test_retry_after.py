"""How long a provider asks us to wait, in each form that providers use."""

import pytest

from rateguard.engine.providers.retry_after import MAX_WAIT_MS, parse_duration_ms, retry_after_ms

DATE = "Sat, 21 Nov 2026 12:00:00 GMT"
LATER = "Sat, 21 Nov 2026 12:00:07 GMT"


@pytest.mark.parametrize(
    ("headers", "message", "wait_ms"),
    [
        ({"retry-after-ms": "250", "retry-after": "1"}, "", 250),
        ({"retry-after-ms": "0", "retry-after": "1"}, "", 1_000),
        ({"retry-after": "7.66"}, "", 7_660),
        ({"retry-after": LATER, "date": DATE}, "", 7_000),
        ({"retry-after": DATE, "date": LATER}, "", None),
        ({"retry-after": "0"}, "Please try again in 5.289s. Visit us.", 5_289),
        ({}, "Please retry in 10h17m5.7s.", MAX_WAIT_MS),
        ({}, "Please try again in 6m0s.", 360_000),
        ({}, "Please try again in 20ms.", 20),
        ({}, "Requests have exceeded call rate limit. Please retry after 12 seconds.", 12_000),
        ({}, "Please retry after 1 second.", 1_000),
        ({}, "Please retry in 5.723s", 5_723),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "-1", "retry-after-ms": "nan"}, "", None),
        ({"retry-after": "1e999"}, "", None),
        ({"retry-after": "86400"}, "", MAX_WAIT_MS),
        ({}, "", None),
    ],
)
def test_the_first_form_that_names_a_wait_decides(headers: dict[str, str], message: str, wait_ms: int | None):
    assert retry_after_ms(headers, message) == wait_ms


def test_an_http_date_without_a_date_of_the_answer_is_read_against_our_clock():
    assert retry_after_ms({"retry-after": LATER}, now_s=1_795_262_400.0) == 7_000


def test_else_the_reset_of_the_axis_with_the_least_left_decides():
    headers = {
        "x-ratelimit-limit-requests": "10,000",
        "x-ratelimit-remaining-requests": "9,000",
        "x-ratelimit-reset-requests": "1h2m3s",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "9500",
        "x-ratelimit-reset-tokens": "59.996s",
        "x-ratelimit-limit-project-tokens": "-1",
        "x-ratelimit-remaining-project-tokens": "-1",
        "x-ratelimit-reset-project-tokens": "0",
    }
    assert retry_after_ms(headers) == 59_996


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("6m0s", 360_000), ("120ms", 120), ("1h2m3s", 3_723_000), ("2m59.56s", 179_560), ("12", 12_000), ("0", 0), ("1x", None), ("", None)],
)
def test_go_durations_and_plain_seconds_are_read(text: str, milliseconds: float | None):
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("names", "reset", "wait_ms"),
    [
        ("x-ratelimit-{}", "1795262407000", 7_000),  # OpenRouter: milliseconds since the epoch
        ("x-ratelimit-{}", "1795262407", 7_000),
        ("x-ratelimit-{}", "0.5", 500),  # Together: seconds
        ("anthropic-ratelimit-input-tokens-{}", "2026-11-21T12:00:07Z", 7_000),
        ("anthropic-ratelimit-input-tokens-{}", "2026-11-21T11:59:00Z", None),  # has passed
        ("anthropic-ratelimit-input-tokens-{}", "soon", None),
    ],
)
def test_a_reset_is_read_in_each_form(names: str, reset: str, wait_ms: int | None):
    headers = {names.format("limit"): "10", names.format("remaining"): "0", names.format("reset"): reset}
    assert retry_after_ms(headers, now_s=1_795_262_400.0) == wait_ms


def test_an_overload_does_not_wait_for_the_limits_told_beside_it():
    told = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "40s"}
    assert retry_after_ms(told) == 40_000
    assert retry_after_ms(told, of_limit=False) is None
    assert retry_after_ms({**told, "retry-after": "2"}, of_limit=False) == 2_000
