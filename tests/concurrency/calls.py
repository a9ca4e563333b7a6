"""A process that makes synchronous calls as a web process does: `python -m tests.concurrency.calls JSON`.

`count` calls by `threads`, each let in and answered; then `stays` more that are let in and never end. It leaves as a script does: what
ended is written at its exit.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import django

told = json.loads(sys.argv[1])
django.setup()

from rateguard import wiring  # noqa: E402 - Django is ready only now
from rateguard.calls.call import Call, CallEnded  # noqa: E402
from rateguard.calls.entrance import entrance  # noqa: E402
from rateguard.engine.errors import LimitInTheWay  # noqa: E402
from rateguard.engine.money import Usage  # noqa: E402
from rateguard.engine.providers.base import Outcome  # noqa: E402

door, model, tenant = entrance(), told["model"], told["tenant"]


def enter():
    """A call that was let in."""
    call = Call(
        id=door.new_id(),
        tenant_id=tenant,
        model=model,
        gate_model=wiring.directory().gate_model(model, tenant, (), 10),
        path=wiring.path_of(tenant),
        input_tokens=10,
        output_tokens=20,
        max_output_tokens=20,
    )
    return door.enter_blocking(call, told["patience_s"])


def call(_):
    """One that is answered at once. Returns how long it waited, seconds; None where it found no room."""
    began = time.monotonic()
    try:
        granted = enter()
    except LimitInTheWay:
        return None
    now = time.monotonic()
    door.sent(granted, now)
    door.settle(granted, CallEnded.answered(Outcome(b"{}", Usage(input_tokens=10, output_tokens=20), "stop", "", now, now), 1))
    return now - began


began = time.monotonic()
with ThreadPoolExecutor(told["threads"]) as threads:
    waits = [wait for wait in threads.map(call, range(told["count"])) if wait is not None]
took_s = time.monotonic() - began
cpu_ms = time.process_time() * 1000
sys.stdout.write(f"let in {len(waits)} in {took_s:.2f} s, {cpu_ms / max(1, len(waits)):.2f} ms of CPU each\n")
held = [enter() for _ in range(told["stays"])]
sys.stdout.write(f"holding {len(held)}\n")
sys.stdout.flush()
if held:
    time.sleep(600)
