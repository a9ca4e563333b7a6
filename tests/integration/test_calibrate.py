"""What providers count corrects what is reserved at a deployment, from real rows."""

import pytest

from rateguard.engine.money import Usage
from rateguard.engine.tokens import count_input
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.insight import calibrated
from rateguard.jobs.models import Attempt, Calibration, Job
from rateguard.jobs.states import SUCCEED, AttemptState
from rateguard.jobs.upkeep.calibrate import calibrate

TEXT = "Name every river of Europe that is longer than a thousand kilometres, and the sea that it flows into."


def answered(line, count, times, *, estimated=False):
    """So many answers, each of `times` the tokens that we counted."""
    for number in range(count):
        line.submit(text=f"{TEXT} {number}")
    line.beat()
    ended = 0
    while ended < count:
        for one in line.claim(line.next_message()):
            usage = Usage(input_tokens=int(Job.objects.get(pk=one.job).counted_tokens * times) - 5, cached_tokens=5, estimated=estimated)
            end = Ended(job=one.job, attempt=1, state=AttemptState.SUCCEEDED, transition=SUCCEED, usage=usage, nano_usd=1)
            settle([end])
            ended += 1
    calibrated.forget()


@pytest.fixture
def counted(line):
    """What we count of TEXT."""
    return line.submit(text=TEXT).counted_tokens


def test_a_job_keeps_what_was_counted_beside_what_is_reserved(line, counted):
    job = Job.objects.get()
    assert counted == job.input_tokens == count_input(line.submission(text=TEXT).body, "sim-1")


def test_a_provider_that_counts_more_is_reserved_more_and_one_that_counts_alike_as_before(line, counted):
    answered(line, 22, 1.0)
    assert calibrate() == 23
    calibrated.forget()
    assert line.submit(text=TEXT).input_tokens == counted
    answered(line, 30, 1.5)
    assert calibrate() == 31
    assert calibrate() == 0
    row = Calibration.objects.get()
    assert (row.deployment_id, row.samples) == (line.deployment.pk, 54)
    assert 1_200 < row.mean_permille < 1_500
    calibrated.forget()
    job = line.submit(text=TEXT)
    assert counted * 3 // 2 <= job.input_tokens <= -(-counted * 16 // 10)
    assert job.counted_tokens == counted


def test_what_we_counted_ourselves_teaches_nothing(line, counted):
    answered(line, 3, 2.0, estimated=True)
    assert (calibrate(), Calibration.objects.count(), Attempt.objects.count()) == (0, 0, 4)
