"""A process that submits jobs as a web process does, one a call: `python -m tests.concurrency.caller JSON`."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import django

told = json.loads(sys.argv[1])
django.setup()

from django.db import connection  # noqa: E402 - Django is ready only now

from rateguard.engine.errors import LimitInTheWay  # noqa: E402
from rateguard.engine.providers.base import Endpoint  # noqa: E402
from rateguard.jobs.intake.submission import Submission  # noqa: E402
from rateguard.jobs.intake.submit import submit  # noqa: E402
from rateguard.jobs.line.pump import process_pump  # noqa: E402
from tenants.models import Tenant  # noqa: E402

tenant = Tenant.objects.get(pk=told["tenant"])


def ask(numbers):
    """Returns how many a spent budget refused."""
    refused = 0
    for number in numbers:
        content = f"{told['name']} {number:06d}"
        body = {"model": told["model"], "messages": [{"role": "user", "content": content}], "max_tokens": told["max_tokens"]}
        try:
            submit(Submission(tenant=tenant, endpoint=Endpoint.CHAT, body=body))
        except LimitInTheWay:
            refused += 1
    connection.close()
    return refused


with ThreadPoolExecutor(told["threads"]) as threads:
    refused = sum(threads.map(ask, [range(first, told["count"], told["threads"]) for first in range(told["threads"])]))
sys.stdout.write(f"submitted, but {refused} refused\n")
sys.stdout.flush()
process_pump().stop(60)
