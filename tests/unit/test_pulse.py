"""What a process knows of its own heartbeats: whether it can have been taken for dead."""

from rateguard.holding.pulse import Pulse


def beaten(*at_s):
    pulse = Pulse(dead_after_s=12)
    for one in at_s:
        pulse.beat(one, one + 0.1)
    return pulse


def test_a_process_that_was_heard_all_the_while_may_send():
    assert beaten(100, 103, 106).is_unbroken(104, 107)


def test_one_that_was_never_heard_may_not():
    assert not beaten().is_unbroken(104, 107)


def test_one_whose_last_beat_is_too_old_may_not():
    assert not beaten(100, 103).is_unbroken(104, 115)


def test_one_that_was_silent_since_its_claim_may_not_although_it_beats_again():
    assert not beaten(100, 103, 120, 123).is_unbroken(104, 124)


def test_what_it_claimed_after_its_silence_it_may_send():
    assert beaten(100, 103, 120, 123).is_unbroken(121, 124)


def test_a_beat_that_was_long_on_its_way_is_as_old_as_its_beginning():
    pulse = Pulse(dead_after_s=12)
    pulse.beat(100, 100.1)
    pulse.beat(103, 113)
    assert not pulse.is_unbroken(104, 114)
