"""`manage.py bench doors` starts its own servers and ends with one line of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.needs("postgres")
def test_bench_doors_ends_with_one_line_of_json():
    command = [sys.executable, "manage.py", "bench", "doors", "--quick", "--json"]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=110)

    found = json.loads(run.stdout.splitlines()[-1])

    assert (set(found), found["bench"]) == ({"bench", "metrics", "versions"}, "doors")
    aims = {"post_jobs_per_s", "post_p99_ms", "delay_per_s", "delay_bulk_per_s", "batch_jobs_per_s", "web_peak_mb"}
    aims |= {"flood_health_p99_ms", "flood_get_p99_ms", "refused_p99_ms"}
    assert aims < set(found["metrics"])
    assert all(value > 0 for name, value in found["metrics"].items() if name != "load")
    assert {"server", "postgresql"} < set(found["versions"])
