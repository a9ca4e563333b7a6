"""Job ids are UUIDs of version 7: an index grows at one end."""

import time
import uuid

from rateguard.jobs.ids import new_id


def test_an_id_is_of_version_7_and_says_its_millisecond():
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_do_not_repeat():
    assert len({new_id() for _ in range(10_000)}) == 10_000
