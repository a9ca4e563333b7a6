"""The default campaign of `manage.py torture`: faults of every kind against real processes, and every promise of its table kept."""

import json
import subprocess
import sys
import time

import pytest

from rateguard.torture.faults.kinds import KINDS
from tests.conftest import PROJECT

WITHIN_S = 300


def campaign(*words, code=0, within_s=WITHIN_S):
    """The last line of a campaign, as JSON."""
    began = time.monotonic()
    argv = [sys.executable, "manage.py", "torture", "--json", *words]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=within_s + 60, check=False)
    said = f"{done.stdout}\n{done.stderr[-4_000:]}"
    assert done.returncode == code, said
    assert time.monotonic() - began <= within_s, said
    return json.loads(done.stdout.splitlines()[-1]), said


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.needs("postgres")
@pytest.mark.timeout(WITHIN_S + 90)
def test_nothing_is_lost_under_faults_of_every_kind():
    found, said = campaign()
    assert found["jobs"] >= 300, said
    assert found["faults"] >= 15, said
    assert found["fault_kinds"] == sorted({kind.name for kind in KINDS}), said
    assert found["unfinished"] == 0, said
    assert found["foreign_duplicates"] == 0, said
    assert found["ledger_difference_nano_usd"] == 0, said
    assert found["rollup_difference"] == 0, said
    assert found["state_gaps"] == 0, said
    assert found["budget_overdrafts"] == 0, said
    assert found["window_violations"] == 0, said
    assert found["reservations_left"] == 0, said
    assert found["webhooks_missing"] == 0, said
    assert found["restart_p99_s"] <= 16, said
    assert found["accept_p99_frozen_s"] <= 1, said
    assert found["db_gone_s"] <= 2, said


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.needs("postgres")
@pytest.mark.timeout(WITHIN_S + 90)
def test_a_fence_that_is_skipped_is_found():
    found, said = campaign("--broken", "skipped_fence", code=1)
    assert found["foreign_duplicates"] > 0, said
    assert "to repeat it: python3 manage.py torture --seed 1" in said
