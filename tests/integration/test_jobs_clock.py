"""A process whose own clock is wrong writes the database's times all the same."""

import datetime as dt

import pytest
from django.db import connection
from django.utils import timezone

from rateguard.jobs import clock
from rateguard.jobs.attempts.claim import claim
from rateguard.jobs.models import Job
from rateguard.jobs.states import State

AHEAD = dt.timedelta(minutes=5)


def test_a_job_that_came_by_a_clock_ahead_waited_no_less_than_nothing(line):
    job = line.submit()
    Job.objects.filter(pk=job.pk).update(queued_at=timezone.now() + AHEAD)
    line.beat()
    entries, epoch = line.next_message()
    (claimed,) = claim(entries, epoch, "w1", {line.deployment.pk: line.deployment.name})
    assert claimed.queue_ms == 0


def test_rows_get_the_databases_time_whatever_the_process_believes(line, monkeypatch):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no clock but this process's")
    true_now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: true_now() + AHEAD)
    monkeypatch.setattr(clock, "_anchor", None)
    job = line.submit(run_at=clock.database_now() + dt.timedelta(minutes=1))
    assert job.state == State.SCHEDULED
    assert abs(job.queued_at - clock.database_now()) < dt.timedelta(seconds=10)
