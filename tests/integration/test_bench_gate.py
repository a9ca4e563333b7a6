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
    assert all(row["batch_50_us"] > 0 and row["bytes_a_waiting_job"] > 0 for row in found["metrics"]["rows"])
    assert "valkey" in found["versions"]["server"]
