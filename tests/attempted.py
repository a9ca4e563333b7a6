"""A running attempt as a value, for tests that need no row."""

import uuid

from rateguard.jobs.attempts.claim import Claimed

CLAIMED = Claimed(
    job=uuid.UUID(int=7),
    attempt=2,
    endpoint="chat",
    model="m",
    request="{}",
    deployment_id=1,
    tenant_id=1,
    input_tokens=10,
    max_output_tokens=20,
    cost=500,
    timeout_s=60,
    tries=0,
    max_tries=5,
    delivery="at_least_once",
    deadline_in_s=None,
    queue_ms=3,
)
