"""The memory twin's sorted set has the order and the answers of Redis' own."""

import random

import pytest
import redis

from rateguard.engine.gate.ordered import SortedSet

MEMBERS = ["a", "b", "c", "d", "e"]


@pytest.fixture
def both(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield SortedSet(), client


def test_random_changes_leave_both_alike(both):
    ours, theirs = both
    rnd = random.Random(1)
    for _ in range(300):
        member, score, only_new = rnd.choice(MEMBERS), rnd.randrange(4), rnd.random() < 0.3
        if rnd.random() < 0.3:
            assert ours.remove(member) == bool(theirs.zrem("s", member))
        else:
            assert ours.add(member, score, only_new=only_new) == bool(theirs.zadd("s", {member: score}, nx=only_new))
        ordered = theirs.zrange("s", 0, -1, withscores=True)
        assert list(ours) == [found for found, _ in ordered]
        assert ours.first() == (ordered[0] if ordered else None)
        assert len(ours) == len(ordered)
        assert ours.score(member) == theirs.zscore("s", member)
        assert (member in ours) == (theirs.zscore("s", member) is not None)
        for most in (0, 1, 2, 9):
            assert ours.up_to(score, most) == theirs.zrangebyscore("s", "-inf", score, 0, most)
            assert ours.above(score, most) == theirs.zrangebyscore("s", f"({score}", "+inf", 0, most)
