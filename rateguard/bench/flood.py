"""What others notice while 100,000 jobs arrive in batches: `/healthz` and the GET of a job meanwhile; and what a full queue answers."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import orjson

from rateguard.bench.batches import ANSWER_S, peak_mb, post_batch
from rateguard.bench.load import Callers
from rateguard.bench.scene import body, quantile

JOBS, FEW_JOBS = 100_000, 4_000
IN_ONE_BATCH = 50_000
AT_ONCE = 2
"""Batches that are posted at once."""
PER_S = 20.0
"""Requests a second of each kind beside them."""
REFUSED_PER_S, REFUSED_S = 50.0, 10.0


def flood(pid: int, port: int, secret: str, make_jsonl: Callable[[int], bytes], *, is_quick: bool) -> dict[str, float]:
    """Post them, and ask beside them. Peak memory is that of the web process since its start."""
    count = FEW_JOBS if is_quick else JOBS
    lines = min(IN_ONE_BATCH, count // AT_ONCE)
    sent = make_jsonl(lines)
    headers = {"Authorization": f"Bearer {secret}"}
    job = _one_job(port, headers)
    began_at = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE + 2) as pool:
        bulk = [pool.submit(post_batch, port, secret, sent, lines) for _ in range(count // lines)]
        health = pool.submit(_beside, Callers(port, "GET", "/healthz", {}, _nothing), bulk)
        reading = pool.submit(_beside, Callers(port, "GET", f"/api/v1/jobs/{job}", headers, _nothing), bulk)
        for one in bulk:
            one.result()
        took_s = time.perf_counter() - began_at
        health_ms, reading_ms = health.result(), reading.result()
    return {
        "flood_jobs_per_s": count / took_s,
        "flood_health_p99_ms": quantile(health_ms, 0.99),
        "flood_get_p50_ms": quantile(reading_ms, 0.50),
        "flood_get_p99_ms": quantile(reading_ms, 0.99),
        "flood_peak_mb": peak_mb(pid),
    }


def refusals(port: int, secret: str, *, is_quick: bool) -> dict[str, float]:
    """At a web process whose queue is full: every submit is refused, at a pace of its own."""
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    asked = orjson.dumps(body(0))
    callers = Callers(port, "POST", "/api/v1/jobs", headers, lambda _: asked, wanted=429)
    callers.paced(REFUSED_PER_S, 1.0)
    load = callers.paced(REFUSED_PER_S, 2.0 if is_quick else REFUSED_S)
    return {"refused_p50_ms": load.quantile_ms(0.50), "refused_p99_ms": load.quantile_ms(0.99)}


def _beside(callers: Callers, bulk: list[Future[None]]) -> list[float]:
    took: list[float] = []
    while not all(one.done() for one in bulk):
        took += callers.paced(PER_S, 1.0).took_ms
    return took


def _one_job(port: int, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    told_so = {**headers, "Content-Type": "application/json", "Connection": "close"}
    connection.request("POST", "/api/v1/jobs", orjson.dumps(body(0)), told_so)
    told = orjson.loads(connection.getresponse().read())
    return str(told["id"])


def _nothing(_number: int) -> bytes:
    return b""
