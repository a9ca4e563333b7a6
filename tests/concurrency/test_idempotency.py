"""One Idempotency-Key, many at once: one job."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio

import aiohttp
import pytest

from rateguard.jobs.models import Job, JobEvent
from tests.tenancy import CHAT_MODEL, acme  # noqa: F401
from tests.webprocess import start_web  # noqa: F401

RACERS = 500
HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}


async def race(urls, secret, bodies):
    """Every body sent at once, in turn to each URL; the answers as (status, job id, replayed)."""
    headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "the one"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector, timeout=aiohttp.ClientTimeout(100)) as session:

        async def submit(url, body):
            async with session.post(f"{url}/api/v1/jobs", json=body) as response:
                answer = await response.json(content_type=None)
                return response.status, answer.get("id"), response.headers.get("Idempotent-Replayed")

        return await asyncio.gather(*(submit(urls[n % len(urls)], body) for n, body in enumerate(bodies)))


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_five_hundred_racers_on_one_key_get_one_job(start_web, acme):
    urls = [start_web().url, start_web().url]
    answers = asyncio.run(race(urls, acme.secret, [HELLO] * RACERS))
    assert {status for status, _, _ in answers} == {202}
    assert {job for _, job, _ in answers} == {str(Job.objects.get().pk)}
    assert [replayed for _, _, replayed in answers].count(None) == 1
    assert JobEvent.objects.count() == 1


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_of_racers_with_different_requests_one_gets_the_job_and_its_equals_share_it(start_web, acme):
    urls = [start_web().url, start_web().url]
    bodies = [{**HELLO, "max_tokens": 20 + n % 2} for n in range(100)]
    answers = asyncio.run(race(urls, acme.secret, bodies))
    job = Job.objects.get()
    assert sorted((status, answer) for status, answer, _ in answers if status == 202) == [(202, str(job.pk))] * 50
    assert {status for status, _, _ in answers} == {202, 422}
