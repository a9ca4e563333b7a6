"""Slots and heartbeats: how much is granted, and whose reservations somebody should look at."""

from __future__ import annotations

import collections
import dataclasses

import pytest

from rateguard.engine.gate.contract import HeldReservation, Holder, Settlement, WorkClass
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Metric
from tests.contract.gate_line import deployment, ended, model, requests, sent, window

HIGH_ONLY = (Lane.HIGH,)
OF_JOB = {"path": "p", "model": "m", "deployment": "1", "cost": 0, "input_tokens": 1, "output_tokens": 1, "max_output_tokens": 1}
"""What is known of the reservation of a job that `line.job()` made."""


@pytest.fixture
def bounded(make_line):
    return make_line(GateSettings(send_by_ms=5_000, dead_after_ms=12_000, unsent_per_worker=100))


def suspected(line, most: int = 100) -> list:
    return [held.reservation for held in line.gate.suspects(most)]


@pytest.mark.parametrize(("window_ms", "unsent_ms"), [(60_000, 5_000), (4_000, 2_000), (1_000, 500), (100, 200)])
def test_a_grant_may_not_stay_unsent_until_its_window_forgets_it(bounded, window_ms, unsent_ms):
    bounded.open(requests("a:r", 5, window_ms), models=[model("m", deployment("a:r"))])
    bounded.enqueue(bounded.job())

    (grant,) = bounded.step(1).granted

    assert grant.send_by_ms - bounded.clock.now_ms == unsent_ms


# ---- slots


def test_without_a_live_worker_no_job_is_granted(bounded):
    bounded.open(slots=0)
    bounded.enqueue(*bounded.jobs(3))

    assert bounded.step(9).granted == ()


def test_grants_are_bounded_by_the_free_slots_of_live_workers(bounded):
    bounded.open(slots=3)
    bounded.beat("v", slots=4)
    bounded.enqueue(*bounded.jobs(20))
    granted = bounded.admit_all()
    assert len(granted) == 7

    bounded.step(sent=sent(granted[:3]))
    assert bounded.admit_all() == []

    assert len(bounded.step(9, settle=ended(granted[:2])).granted) == 2


def test_grants_are_bounded_by_the_unsent_ones_a_worker(bounded):
    bounded.open(slots=1_000)
    bounded.enqueue(*bounded.jobs(400))
    granted = bounded.admit_all()
    assert len(granted) == 100

    bounded.step(sent=sent(granted[:30]))

    assert len(bounded.admit_all()) == 30


def test_an_unsent_grant_that_is_given_back_frees_its_place(bounded):
    bounded.open(slots=2)
    bounded.enqueue(*bounded.jobs(5))
    granted = bounded.admit_all()

    bounded.step(settle=(Settlement(granted[0].reservation, used=False),))

    assert len(bounded.admit_all()) == 1


def test_a_lane_is_bounded_by_the_slots_of_the_workers_that_serve_it(bounded):
    bounded.open(slots=0)
    bounded.beat("all", slots=2)
    bounded.beat("high", slots=3, lanes=HIGH_ONLY)
    bounded.enqueue(*bounded.jobs(9, lane=Lane.LOW), *bounded.jobs(9, lane=Lane.HIGH))

    lanes = collections.Counter(grant.lane for grant in bounded.admit_all())

    assert lanes == {Lane.HIGH: 5}


def test_a_lane_that_its_own_worker_cannot_serve_leaves_the_others_theirs(bounded):
    bounded.open(slots=0)
    bounded.beat("high", slots=3, lanes=HIGH_ONLY)
    bounded.beat("low", slots=2, lanes=(Lane.LOW,))
    bounded.enqueue(*bounded.jobs(9, lane=Lane.LOW), *bounded.jobs(9, lane=Lane.HIGH), *bounded.jobs(9, lane=Lane.NORMAL))

    assert collections.Counter(grant.lane for grant in bounded.admit_all()) == {Lane.HIGH: 3, Lane.LOW: 2}


def test_the_slots_of_a_dead_worker_do_not_count(bounded):
    bounded.open(slots=2)
    bounded.beat("v", slots=5)
    bounded.die("v")
    for _ in range(5):
        bounded.wait(3_000)
    bounded.enqueue(*bounded.jobs(9))

    assert len(bounded.admit_all()) == 2


def test_a_web_process_has_no_slots(bounded):
    bounded.open(slots=0)
    bounded.beat("web", slots=0)
    bounded.enqueue(bounded.job(), bounded.job(work_class=WorkClass.SYNC))

    assert [grant.work_class for grant in bounded.admit_all()] == [WorkClass.SYNC]


# ---- suspects


def test_a_grant_that_nobody_sent_in_time_is_suspect(bounded):
    bounded.open()
    bounded.enqueue(*bounded.jobs(2))
    first, second = bounded.step(2).granted
    bounded.wait(2_000)
    bounded.step(sent=sent([second]))
    bounded.wait(3_000)
    assert suspected(bounded) == []

    bounded.wait(1)

    assert bounded.gate.suspects(9) == (HeldReservation(first.reservation, "", is_alive=False, age_ms=5_001, **OF_JOB),)


def test_reservations_of_a_holder_silent_for_12_seconds_are_suspect_and_those_of_others_not(bounded):
    bounded.open()
    bounded.beat("v")
    bounded.enqueue(*bounded.jobs(4))
    granted = bounded.admit_all()
    bounded.step(sent=[*sent(granted[:2], "v"), *sent(granted[2:], "w")])
    bounded.die("v")
    for _ in range(4):
        bounded.wait(3_000)
    assert suspected(bounded) == []

    bounded.wait(1)

    assert suspected(bounded) == sorted(grant.reservation for grant in granted[:2])
    assert len(suspected(bounded, most=1)) == 1


def test_after_a_silence_of_all_nobody_is_dead_before_a_whole_12_seconds(bounded):
    bounded.open()
    bounded.beat("v")
    bounded.enqueue(bounded.job())
    granted = bounded.admit_all()
    bounded.step(sent=sent(granted, "v"))
    bounded.die("v")
    bounded.clock.now_ms += 60_000  # the gate was away for everybody
    for _ in range(5):
        assert suspected(bounded) == []
        bounded.wait(3_000 if bounded.clock.now_ms % 3 == 0 else 2_400)

    for _ in range(2):
        bounded.wait(3_000)

    assert suspected(bounded) == [granted[0].reservation]


def test_a_holder_that_was_never_heard_since_the_rebuild_is_dead_after_12_seconds(bounded):
    bounded.open()
    bounded.enqueue(bounded.job())
    granted = bounded.admit_all()
    bounded.step(sent=sent(granted, "never-heard"))
    for _ in range(4):
        bounded.wait(3_000)
    assert suspected(bounded) == []

    bounded.wait(3_000)

    assert suspected(bounded) == [granted[0].reservation]


def test_who_leaves_gets_no_more_work_and_what_it_holds_is_suspect_at_once(bounded):
    bounded.open(slots=5)
    bounded.beat("v", slots=5)
    bounded.enqueue(*bounded.jobs(20))
    granted = bounded.admit_all()
    bounded.step(sent=sent(granted[:4], "v"))
    del bounded.workers["v"]

    bounded.gate.leave("v")

    assert suspected(bounded) == sorted(grant.reservation for grant in granted[:4])
    assert bounded.gate.inspect().holders == (Holder("w", 5, tuple(Lane)),)
    assert bounded.admit_all() == []


def test_a_dead_holder_that_holds_nothing_is_forgotten(bounded):
    bounded.open()
    bounded.beat("v")
    bounded.enqueue(bounded.job())
    granted = bounded.admit_all()
    bounded.step(sent=sent(granted, "v"))
    bounded.die("v")
    for _ in range(5):
        bounded.wait(3_000)
    bounded.gate.suspects(9)
    assert [holder.id for holder in bounded.gate.inspect().holders] == ["v", "w"]

    bounded.step(settle=ended(granted))
    bounded.gate.suspects(9)

    assert [holder.id for holder in bounded.gate.inspect().holders] == ["w"]


def test_an_adopted_grant_belongs_to_its_holder_and_is_no_longer_suspect(bounded):
    bounded.open(slots=1)
    bounded.enqueue(*bounded.jobs(2))
    granted = bounded.admit_all()
    bounded.wait(6_000)
    assert suspected(bounded) == [granted[0].reservation]

    bounded.gate.adopt(granted[0].reservation, "w")

    assert suspected(bounded) == []
    assert bounded.gate.held(0, 9)[1] == (HeldReservation(granted[0].reservation, "w", is_alive=True, age_ms=0, **OF_JOB),)
    assert bounded.gate.inspect().unsent == 0
    assert bounded.admit_all() == []  # the slot is taken, not free


def test_windows_count_an_adopted_grant_from_its_adoption_on(bounded):
    bounded.open(window("a", Metric.REQUESTS, 1, 10_000), models=(model("m", deployment("a")),))
    bounded.enqueue(*bounded.jobs(2))
    granted = bounded.admit_all()
    bounded.wait(6_000)
    bounded.gate.adopt(granted[0].reservation, "w")
    bounded.wait(9_900)  # it was granted 15.9 s ago, and sent at any time since
    assert bounded.admit_all() == []
    bounded.wait(400)
    assert len(bounded.admit_all()) == 1


def test_adopting_what_somebody_holds_or_nobody_knows_changes_nothing(bounded):
    bounded.open()
    bounded.enqueue(*bounded.jobs(1))
    granted = bounded.admit_all()
    bounded.step(sent=sent(granted, "w"))
    before = bounded.gate.held(0, 9)

    bounded.gate.adopt(granted[0].reservation, "v")
    bounded.gate.adopt(dataclasses.replace(granted[0].reservation, attempt=9), "v")

    assert bounded.gate.held(0, 9) == before


def test_the_first_to_claim_keeps_the_reservation(bounded):
    bounded.open()
    bounded.enqueue(*bounded.jobs(1))
    granted = bounded.admit_all()
    bounded.step(sent=sent(granted, "w"))
    bounded.step(sent=sent(granted, "v"))

    assert [held.holder for held in bounded.gate.held(0, 9)[1]] == ["w"]


def test_held_names_every_reservation_page_by_page(bounded):
    bounded.open(models=[model("m", deployment())])
    bounded.enqueue(*bounded.jobs(100))
    granted = bounded.admit_all()

    seen, cursor, pages = set(), 0, 0
    while True:
        cursor, page = bounded.gate.held(cursor, 10)
        seen |= {held.reservation for held in page}
        pages += 1
        if cursor == 0:
            break

    assert seen == {grant.reservation for grant in granted}
