"""What the demo says at its end, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rateguard.demo.figures import Figures
from rateguard.demo.scenario import WEIGHTS
from rateguard.demo.workload import MODEL
from rateguard.engine.money import format_usd


def summary(figures: Figures, moved_s: float) -> Iterator[str]:
    """What happened, for people. moved_s: from the worker's start to the first request at the provider."""
    yield ""
    yield f"{figures.jobs:,} jobs: {figures.succeeded:,} succeeded, {figures.failed} failed, {figures.unfinished} unfinished"
    yield f"{figures.setup_s:.1f} s to set up, {figures.run_s:.1f} s of work; the first job moved {moved_s:.1f} s after the worker's start"
    yield f"the provider counted {figures.provider_requests:,} requests and refused {figures.provider_429} with 429"
    yield f"the fullest window that it saw held {figures.worst_window_ratio:.2%} of its limit"
    if figures.limit_utilisation is None:
        return  # no limit held anybody up, so there was nothing to share
    yield f"{figures.binding_limit} bound: {figures.limit_utilisation:.1%} of it was used while jobs waited"
    total = sum(WEIGHTS.values())
    yield "tokens sent while all three tenants had work waiting:"
    for name, tenant in figures.tenants.items():
        yield f"  {name:<8} {tenant['share']:6.1%}   (due {WEIGHTS[name] / total:.1%})"


def last_line(figures: Figures, estimated_corrected: int) -> str:
    """What it cost."""
    difference = figures.ledger_difference_nano_usd
    money = format_usd(difference) if difference else "$0"
    return f"{figures.unfinished} lost, {estimated_corrected} estimated entries corrected, books differ by {money}"


def where_to_look(link: str) -> Iterator[str]:
    """The dashboard, and who may see it."""
    yield ""
    yield "look at it in a browser; the link signs you in once, as the operator:"
    yield ""
    yield f"  {link}"


def how_to_call(url: str, keys: Mapping[str, str]) -> Iterator[str]:
    """A key for each tenant and a command that sends a job, ready to be pasted."""
    yield ""
    yield f"serving at {url}/api/v1 until Ctrl-C;"
    yield "a key for each tenant, and how to send a job of your own:"
    yield ""
    for name, key in keys.items():
        yield f"  {name.upper()}={key}"
    yield f'  curl {url}/api/v1/jobs -H "Authorization: Bearer ${next(iter(keys)).upper()}" \\'
    yield "    -H 'Content-Type: application/json' -H 'Prefer: wait=30' \\"
    yield f"""    -d '{{"model": "{MODEL}", "max_tokens": 50,"""
    yield """         "messages": [{"role": "user", "content": "Say hello."}]}'"""
    yield ""
