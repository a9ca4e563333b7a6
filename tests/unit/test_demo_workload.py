"""The demo's requests."""

from collections import Counter

import pytest

from rateguard.demo.workload import MODEL, TENANTS, make_calls, rounded_up, trace
from rateguard.engine.lanes import Lane
from rateguard.engine.tokens import count_messages


@pytest.mark.parametrize(("asked", "made"), [(1, 15), (15, 15), (16, 30), (200, 210), (1_005, 1_005)])
def test_the_number_of_jobs_is_rounded_up_to_the_same_for_each_tenant_and_lane(asked, made):
    assert rounded_up(asked) == made


def test_every_tenant_has_the_same_number_of_jobs_in_every_lane():
    counts = Counter((call.tenant, call.lane) for call in make_calls(150))

    assert counts == {(tenant, lane): 10 for tenant in TENANTS for lane in Lane}


def test_half_of_each_tenants_jobs_comes_through_each_door():
    doors = Counter((call.tenant, call.is_rest) for call in make_calls(150))

    assert set(doors.values()) == {25}


def test_the_same_seed_makes_the_same_requests_and_another_makes_others():
    assert make_calls(45, seed=3) == make_calls(45, seed=3)
    assert make_calls(45, seed=3) != make_calls(45, seed=4)


def test_a_request_has_the_size_that_the_trace_tells():
    for call, size in zip(make_calls(150), trace(), strict=False):
        counted = count_messages([{"role": "user", "content": call.prompt}], MODEL)
        assert call.max_tokens == size.output_tokens
        assert abs(counted - size.input_tokens) <= 6  # the frame of a message alone has 7 tokens, and the trace's least request 2


def test_more_jobs_than_the_trace_has_begin_it_again():
    calls = make_calls(rounded_up(len(trace()) + 15))

    assert calls[len(trace())].max_tokens == trace()[0].output_tokens
