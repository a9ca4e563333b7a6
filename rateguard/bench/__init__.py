"""Measurements that anyone can repeat: `manage.py bench NAME`. One module a benchmark; each starts its own servers."""

from __future__ import annotations

BENCHES = {
    "dashboard": "rateguard.bench.dashboard:run",
    "doors": "rateguard.bench.doors:run",
    "gate": "rateguard.bench.gate:run",
    "jobs": "rateguard.bench.jobs:run",
    "providers": "rateguard.bench.providers:run",
}
"""name → where its `run(*, is_quick: bool) -> Report` is."""
