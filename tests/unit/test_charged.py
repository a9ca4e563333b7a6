"""What a rebuilt bucket lacks: never less than it did, and never more than it holds."""

import random

import pytest

from rateguard.engine.lanes import Lane
from rateguard.engine.limits.edits import new_state
from rateguard.engine.limits.limit import Kind, Level, LimitRecord, Metric
from rateguard.jobs.upkeep.charged import bucket_use


def bucket(amount=100, window_ms=60_000, burst_permille=1_000):
    return LimitRecord("l1", Kind.BUCKET, Metric.TOKENS, amount, Level.TENANT, window_ms=window_ms, burst_permille=burst_permille)


def test_a_bucket_that_nobody_used_is_full():
    assert bucket_use(bucket(), []) == 0


def test_a_bucket_that_was_used_long_ago_is_full_again():
    assert bucket_use(bucket(), [(100, 60_000), (50, 70_000)]) == 0


def test_a_bucket_that_was_emptied_just_now_is_empty():
    assert bucket_use(bucket(), [(100, 0)]) == 100


def test_a_bucket_refills_since_it_was_emptied():
    assert bucket_use(bucket(), [(100, 15_000)]) == 75


@pytest.mark.parametrize("seed", range(40))
def test_a_rebuilt_bucket_lacks_at_least_what_it_lacked_and_at_most_what_it_holds(seed):
    chance = random.Random(seed)
    record = bucket(chance.choice([7, 100, 5_000]), chance.choice([1_000, 60_000]), chance.choice([200, 1_000]))
    state, now_ms, charges = new_state(record), 1_000_000, []
    most = record.amount_for(Lane.NORMAL)
    for _ in range(200):
        now_ms += chance.randrange(record.window_ms // chance.choice([2, 20]))
        amount = chance.randint(1, max(1, most // chance.choice([1, 5])))
        if state.wait_ms(amount, now_ms, Lane.NORMAL) == 0:
            state.take(amount, now_ms)
            charges.append((amount, now_ms))
    fills_ms = record.window_ms * record.burst_permille // 1_000
    known = [(amount, now_ms - at) for amount, at in charges if now_ms - at <= fills_ms]
    assert state.used(now_ms) - 1 <= bucket_use(record, known) <= most + 1
