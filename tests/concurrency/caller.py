"""A process that submits jobs as a web process does, one a call: `python -m tests.concurrency.caller JSON`."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import django

told = json.loads(sys.argv[1])
django.setup()

from django.db import connection  # noqa: E402 - Django is ready only now

from rateguard.engine.providers.base import Endpoint  # noqa: E402
from rateguard.jobs.pump import process_pump  # noqa: E402
from rateguard.jobs.submission import Submission  # noqa: E402
from rateguard.jobs.submit import submit  # noqa: E402
from tenants.models import Tenant  # noqa: E402

tenant = Tenant.objects.get(pk=told["tenant"])


def ask(numbers):
    for number in numbers:
        content = f"{told['name']} {number:06d}"
        body = {"model": told["model"], "messages": [{"role": "user", "content": content}], "max_tokens": told["max_tokens"]}
        submit(Submission(tenant=tenant, endpoint=Endpoint.CHAT, body=body))
    connection.close()


with ThreadPoolExecutor(told["threads"]) as threads:
    list(threads.map(ask, [range(first, told["count"], told["threads"]) for first in range(told["threads"])]))
sys.stdout.write("submitted\n")
sys.stdout.flush()
process_pump().stop(60)
