"""`manage.py bench gate` starts its own server and ends with one line of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.long
def test_bench_gate_ends_with_one_line_of_json():
    command = [sys.executable, "manage.py", "bench", "gate", "--quick", "--json"]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=100)

    found = json.loads(run.stdout.splitlines()[-1])

    assert set(found) == {"bench", "metrics", "versions"}
    assert found["bench"] == "gate"
    aims = {"batch1_incr_ratio", "batch50_jobs_per_s", "batch50_jobs_per_s_10k_tenants", "flatness", "bytes_per_waiting_job"}
    assert set(found["metrics"]) == aims | {"rows"}
    assert all(
        row["batch50_wall_us"] > row["batch50_server_us"] > 0 and row["bytes_per_waiting_job"] > 0 for row in found["metrics"]["rows"]
    )
    assert "valkey" in found["versions"]["server"]
