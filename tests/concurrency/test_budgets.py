"""Many racers on one budget: exactly as many as it pays for succeed, and at no moment is more spent or reserved than there is."""

import re
from collections import Counter

import pytest

from rateguard.jobs.intake.building import build
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from tenants.models import LedgerEntry
from tests.line import all_ended, assert_books_close, states, wait_for

AFFORDABLE = 40


@pytest.mark.long
@pytest.mark.parametrize("racers", [100, 500])
def test_exactly_as_many_jobs_succeed_as_the_budget_pays_for(live, racers):
    line = live.line
    line.provider.control.configure(output={"least": 1.0, "most": 1.0}, latency={"base_ms": 20, "jitter": 1.0})
    cost = build(line.submission(text="caller 000000")).input_tokens * 150 + 20 * 600
    budget = line.budget(AFFORDABLE * cost)
    most = 0

    def has_ended():
        nonlocal most
        use = line.used(budget)
        most = max(most, use.used)
        assert use.reserved <= use.used <= use.amount
        return all(caller.running.poll() is not None for caller in callers) and all_ended()

    for _ in range(2):
        live.start_worker()
    callers = [live.caller(line.acme, racers // 4, threads=5) for _ in range(4)]
    wait_for(has_ended, 90)
    for caller in callers:
        caller.finish()

    refused = sum(int(re.search(r"but (\d+) refused", caller.log.read_text())[1]) for caller in callers)
    assert Job.objects.count() == racers - refused  # those who come once all is spent are refused at submit
    assert states() == Counter({State.SUCCEEDED: AFFORDABLE, State.FAILED: racers - refused - AFFORDABLE})
    assert set(Job.objects.filter(state=State.FAILED).values_list("error_code", flat=True)) <= {"budget_exhausted"}
    assert {entry.nano_usd for entry in LedgerEntry.objects.all()} == {cost}
    assert most == line.used(budget).used == sum(one.nano_usd for one in line.provider.control.bill()) == AFFORDABLE * cost
    assert_books_close()
