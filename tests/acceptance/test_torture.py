"""The default campaign of `manage.py torture`: faults of every kind against real processes, and every promise of its table kept.

What is counted is asserted as it is promised. Of the times the campaign itself is strict; here, beside whatever else a machine does, they
may be twice as long and more.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rateguard.torture.faults.kinds import KINDS
from tests.conftest import PROJECT

WITHIN_S = 600
NONE_OF = (
    "unfinished",
    "foreign_duplicates",
    "ledger_difference_nano_usd",
    "rollup_difference",
    "state_gaps",
    "budget_overdrafts",
    "window_violations",
    "reservations_left",
    "webhooks_missing",
)
TIMES = {"restart_p99_s": 40, "accept_p99_frozen_s": 4, "db_gone_s": 8}


def campaign(*words):
    """The last line of a campaign, as JSON, its exit code, and all that it said."""
    argv = [sys.executable, "manage.py", "torture", "--json", *words]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    said = f"{done.stdout}\n{done.stderr[-4_000:]}"
    assert done.returncode in {0, 1}, said
    assert done.stdout.strip(), said
    return json.loads(done.stdout.splitlines()[-1]), done.returncode, said


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.needs("postgres")
@pytest.mark.timeout(WITHIN_S + 30)
def test_nothing_is_lost_under_faults_of_every_kind():
    found, _, said = campaign()
    assert found["jobs"] >= 300, said
    assert found["faults"] >= 15, said
    assert found["fault_kinds"] == sorted({kind.name for kind in KINDS}), said
    assert {name: found[name] for name in NONE_OF} == dict.fromkeys(NONE_OF, 0), said
    assert {name: found[name] for name, most in TIMES.items() if (found[name] or 0) > most} == {}, said


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.needs("postgres")
@pytest.mark.timeout(WITHIN_S + 30)
def test_a_fence_that_is_skipped_is_found():
    found, code, said = campaign("--broken", "skipped_fence")
    assert (code, found["foreign_duplicates"] > 0) == (1, True), said
    assert "to repeat it: python3 manage.py torture --seed 1" in said
    kept = {Path(one) for one in re.findall(r"\S*rateguard-torture-\w+", said)}
    assert kept, said
    for folder in kept:
        shutil.rmtree(folder, ignore_errors=True)
