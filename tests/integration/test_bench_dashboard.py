"""`manage.py bench dashboard` loads every page on servers of its own and ends with one line of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.needs("postgres")
@pytest.mark.timeout(400)
def test_bench_dashboard_ends_with_one_line_of_json():
    command = [sys.executable, "manage.py", "bench", "dashboard", "--quick", "--json"]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=360)

    found = json.loads(run.stdout.splitlines()[-1])

    assert (set(found), found["bench"]) == ({"bench", "metrics", "versions"}, "dashboard")
    assert {"worst_p95_ms", "worst_queries", "flatness"} < set(found["metrics"])
    assert all(value > 0 for value in found["metrics"].values())
    assert found["metrics"]["worst_queries"] <= 15
    assert {"server", "postgresql"} < set(found["versions"])
