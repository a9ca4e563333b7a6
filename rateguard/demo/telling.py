"""What the demo says at its end, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from rateguard.demo.figures import Figures
from rateguard.demo.scenario import WEIGHTS
from rateguard.demo.workload import MODEL
from rateguard.engine.money import format_usd


def summary(figures: Figures) -> Iterator[str]:
    """What happened, for people."""
    yield ""
    yield (
        f"{figures.jobs:,} jobs: {figures.succeeded:,} succeeded, {figures.failed} failed, {figures.unfinished} unfinished; "
        f"{figures.setup_s:.1f} s to set up, {figures.run_s:.1f} s of work"
    )
    yield (
        f"the provider counted {figures.provider_requests:,} requests, refused {figures.provider_429} with 429; "
        f"its fullest window held {figures.worst_window_ratio:.2%} of a limit"
    )
    if figures.limit_utilisation is not None:
        yield f"what bound was {figures.binding_limit}: {figures.limit_utilisation:.1%} of it was used while jobs waited"
    total = sum(WEIGHTS.values())
    parts = (f"{name} {tenant['share']:.1%} (due {WEIGHTS[name] / total:.1%})" for name, tenant in figures.tenants.items())
    yield f"tokens while all three had work waiting: {', '.join(parts)}"


def last_line(figures: Figures, estimated_corrected: int) -> str:
    """What it cost."""
    difference = figures.ledger_difference_nano_usd
    money = format_usd(difference) if difference else "$0"
    return f"{figures.unfinished} lost, {estimated_corrected} estimated entries corrected, books differ by {money}"


def how_to_call(url: str, keys: Mapping[str, str]) -> Iterator[str]:
    """How to send a job now."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 50, "job": {"lane": "high"}}
    first = next(iter(keys.values()))
    yield ""
    yield f"serving at {url}/api/v1 until Ctrl-C; send a job of your own:"
    yield ""
    yield f"  curl {url}/api/v1/jobs -H 'Authorization: Bearer {first}' \\"
    yield "    -H 'Content-Type: application/json' -H 'Prefer: wait=30' \\"
    yield f"    -d '{json.dumps(body)}'"
    yield ""
    for name, key in keys.items():
        yield f"  {name:<8} {key}"
    yield ""
