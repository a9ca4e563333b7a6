"""A pause made by one process stops another's work within a second, and so does its end."""

import datetime as dt
import time

import pytest
from django.db.models import Max
from django.utils import timezone

from rateguard.jobs.models import Attempt
from tenants.models import Pause
from tests.concurrency.run import assert_all_is_well
from tests.line import wait_for

SECOND = dt.timedelta(seconds=1)


def started():
    """How many calls have started."""
    return Attempt.objects.count()


def manage(live, *words):
    """Run a command in a process of its own, to its good end."""
    live._start(["django", *words], {"DJANGO_SETTINGS_MODULE": "rateguard.settings"}).finish()


@pytest.mark.long
def test_a_pause_by_command_stops_the_workers_and_their_work_goes_on_after_it(live):
    line = live.line
    line.limit("requests", 20, 1_000)
    for _ in range(2):
        live.worker()
    line.submit_many(200)
    wait_for(lambda: started() >= 20)
    manage(live, "pause", "tenant", "acme")
    paused_at = Pause.objects.get().created_at
    wait_for(lambda: timezone.now() > paused_at + 2 * SECOND)
    stood_at = started()
    assert Attempt.objects.aggregate(Max("started_at"))["started_at__max"] < paused_at + SECOND
    time.sleep(2)  # that nothing happens takes time
    assert started() == stood_at
    manage(live, "drain", "tenant", "acme", "--timeout", "20s")
    manage(live, "resume", "tenant", "acme")
    resumed_at = timezone.now()
    wait_for(lambda: started() > stood_at, 10)
    assert Attempt.objects.order_by("started_at")[stood_at].started_at < resumed_at + SECOND
    assert_all_is_well(live, 200)
