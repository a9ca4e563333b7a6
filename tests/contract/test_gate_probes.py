"""After an opening exactly one probe tries the deployment; what it says closes the breaker or opens it again."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.gate.contract import Settlement, Step
from tests.contract.gate_breaker import (
    CLOSED,
    FAILURE,
    HALF_OPEN,
    NONE,
    OPEN,
    RULE,
    SLOW,
    SUCCESS,
    calls,
    end,
    grant,
    open_with,
    probe_of,
    state,
    tripped,
    view,
)
from tests.contract.gate_line import START_MS, sent


def test_half_open_lets_exactly_one_probe_through_whatever_many_channels_ask(line):
    tripped(line)
    line.enqueue(*line.jobs(50))
    line.go_to(START_MS + 30_000)

    replies = [line.gate.step(Step(f"channel{number}", 1, want=10)) for number in range(20)]

    assert sum(len(reply.granted) for reply in replies) == 1
    assert {reply.next_ready_ms for reply in replies} == {None}
    assert (state(line), view(line).is_probing) == (HALF_OPEN, True)


def test_time_brings_no_second_probe(line):
    tripped(line)
    probe_of(line)
    line.enqueue(*line.jobs(5))

    line.wait(3_600_000)

    assert line.admit_all() == []


def test_a_probe_that_succeeds_closes_it(line):
    tripped(line)
    end(line, [probe_of(line)], SUCCESS)

    assert (state(line), view(line).is_probing, view(line).calls) == (CLOSED, False, 0)
    assert len(grant(line, 10)) == 10


def test_a_probe_that_fails_opens_it_for_the_whole_time_again(line):
    tripped(line)
    probe = probe_of(line)
    line.wait(2_000)
    end(line, [probe], FAILURE)

    assert (state(line), view(line).until_ms) == (OPEN, line.clock.now_ms + 30_000)
    line.enqueue(line.job())
    assert line.admit_all() == []


def test_a_probe_that_is_slow_opens_it_again(line):
    open_with(line, SLOW)
    calls(line, 5)
    end(line, [probe_of(line)], SUCCESS, 1_000)

    assert state(line) == OPEN


def test_several_probes_go_one_after_another_and_all_must_succeed(line):
    tripped(line, dataclasses.replace(RULE, probes=3))
    line.enqueue(*line.jobs(9))
    line.go_to(START_MS + 30_000)
    for left in (2, 1, 0):
        (probe,) = line.admit_all()
        end(line, [probe], SUCCESS)
        assert state(line) == (HALF_OPEN if left else CLOSED)

    assert len(line.admit_all()) == 6


def test_after_a_failed_probe_the_count_of_successes_begins_anew(line):
    tripped(line, dataclasses.replace(RULE, probes=2))
    end(line, [probe_of(line)], SUCCESS)
    end(line, grant(line, 1), FAILURE)
    assert state(line) == OPEN

    end(line, [probe_of(line)], SUCCESS)

    assert state(line) == HALF_OPEN


@pytest.mark.parametrize("used", [True, False])
def test_a_probe_that_says_nothing_frees_its_place(line, used):
    """Killed, cancelled, refused with a 429, or never sent: the reaper or its holder settles it without a verdict."""
    tripped(line)
    probe = probe_of(line)

    line.step(settle=(Settlement(probe.reservation, used=used, verdict=NONE),))

    assert (state(line), view(line).is_probing) == (HALF_OPEN, False)
    assert len(grant(line, 1)) == 1
    line.enqueue(line.job())
    assert line.admit_all() == []


def test_a_probe_that_nobody_sent_is_a_suspect_and_its_place_is_free_when_it_is_given_back(line):
    tripped(line)
    probe = probe_of(line)
    line.enqueue(line.job())
    line.wait(5_001)
    (suspect,) = line.gate.suspects(9)

    line.step(settle=(Settlement(suspect.reservation, used=False),))

    assert suspect.reservation == probe.reservation
    assert len(line.admit_all()) == 1


def test_a_probe_of_a_dead_holder_is_a_suspect_and_its_place_is_free_when_it_is_given_up(line):
    tripped(line)
    probe = probe_of(line)
    line.beat("dying")
    line.step(sent=sent([probe], "dying"))
    line.die("dying")
    for _ in range(8):
        line.wait(2_000)
    (suspect,) = line.gate.suspects(9)

    line.step(settle=(Settlement(suspect.reservation, used=True, cost=5),))

    assert len(grant(line, 1)) == 1


def test_what_ends_beside_the_probe_says_nothing_of_it(line):
    open_with(line)
    late = grant(line, 10)
    end(line, late[:5], FAILURE)
    probe_of(line)

    end(line, late[5:7], SUCCESS)
    end(line, late[7:9], FAILURE)

    assert (state(line), view(line).is_probing) == (HALF_OPEN, True)


def test_a_probe_that_settles_twice_is_heard_once(line):
    tripped(line)
    probe = probe_of(line)
    end(line, [probe], SUCCESS)

    end(line, [probe], FAILURE)

    assert (state(line), view(line).failures) == (CLOSED, 0)


def test_a_late_reply_of_an_earlier_generation_changes_nothing_after_it_closed(line):
    open_with(line)
    late = grant(line, 30)
    end(line, late[:5], FAILURE)
    end(line, [probe_of(line)], SUCCESS)

    end(line, late[5:], FAILURE)

    assert (state(line), view(line).calls) == (CLOSED, 0)


def test_a_probe_from_before_a_reset_is_a_late_reply(line):
    tripped(line)
    probe = probe_of(line)
    line.gate.reset_breaker("1")
    generation = view(line).generation

    end(line, [probe], FAILURE)

    assert (state(line), view(line).generation, view(line).failures) == (CLOSED, generation, 0)


def test_each_transition_has_a_new_generation(line):
    tripped(line)
    generations = [view(line).generation]
    probe = probe_of(line)
    generations.append(view(line).generation)
    end(line, [probe], FAILURE)
    generations.append(view(line).generation)
    end(line, [probe_of(line)], SUCCESS)
    generations.append(view(line).generation)

    assert generations == [generations[0], generations[0] + 1, generations[0] + 2, generations[0] + 4]
