"""How fast a batch comes in by `POST /api/v1/batches`, and how much memory its web process takes for it."""

from __future__ import annotations

import http.client
import time
from pathlib import Path

import orjson

from rateguard.bench.scene import body, prompts

LINES, FEW_LINES = 50_000, 5_000
ANSWER_S = 300.0


def jsonl(lines: int) -> bytes:
    """Prompts as the lines of a batch."""
    known = len(prompts())
    return b"".join(
        orjson.dumps({"custom_id": f"line-{number}", **body(number % known)}, option=orjson.OPT_APPEND_NEWLINE) for number in range(lines)
    )


def batches(pid: int, port: int, secret: str, rounds: int, *, is_quick: bool) -> list[dict[str, float]]:
    """Each round posts one batch. Peak memory is that of the web process since its start."""
    count = FEW_LINES if is_quick else LINES
    sent = jsonl(count)
    found = []
    for _ in range(rounds):
        began_at = time.perf_counter()
        post_batch(port, secret, sent, count)
        found.append({"batch_jobs_per_s": count / (time.perf_counter() - began_at), "web_peak_mb": peak_mb(pid)})
    return found


def post_batch(port: int, secret: str, sent: bytes, count: int) -> None:
    """Post one, and wait for its answer. Raises AssertionError where it is not taken whole."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    connection.request(
        "POST", "/api/v1/batches", sent, {"Authorization": f"Bearer {secret}", "Content-Type": "application/jsonl", "Connection": "close"}
    )
    answer = connection.getresponse()
    told = orjson.loads(answer.read())
    if answer.status != 201 or told["total"] != count:
        raise AssertionError(f"the batch was answered {answer.status}: {told}")


def peak_mb(pid: int) -> float:
    """The most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1_024
