"""The events of a job as callers read them: a worker's own runtime, the simulated provider, the layers of a web process."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio
import contextlib

import orjson
import pytest

from rateguard import wiring
from rateguard.api.layers.one_thread import OneThread
from rateguard.api.layers.waiting import waits
from rateguard.jobs.ends import event_stream
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.models import Job
from tenants.keys import issue_key
from tests.api import Api
from tests.asgi import Caller
from tests.eventreading import parts_of, voided
from tests.following import follower  # noqa: F401
from tests.line import has_ended, wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(line):
    return issue_key(line.acme, "reader")[1]


def ended(job):
    wait_for(lambda: has_ended(job), 20)
    job.refresh_from_db()
    return job


def text_of(events):
    """What the chunks since the last `restarted` say."""
    said = [choice for event in voided(events) for choice in orjson.loads(event.data)["choices"]]
    return "".join((one.get("delta") or one.get("message") or {}).get("content") or "" for one in said)


def answer_text(job):
    return orjson.loads(job.result)["choices"][0]["message"]["content"]


def stream_of(line, max_tokens=20, **fields):
    submission = line.submission(max_tokens=max_tokens, **fields)
    submission.body["stream"] = True
    from rateguard.jobs.intake.submit import submit

    return submit(submission).job


def read_now(key, job, told=""):
    response = Api(key).get(f"/api/v1/jobs/{job.pk}/events", **({"Last-Event-ID": told} if told else {}))
    return response.status_code, list(parts_of(response.content.decode()))


def test_a_streamed_job_is_told_piece_by_piece_and_then_its_usage_and_its_end(line, station, key):
    job = ended(stream_of(line))
    status, events = read_now(key, job)
    names = [event.name for event in events]
    assert (status, names[0], names[-2:]) == (200, "granted", ["usage", "succeeded"])
    assert names.count("chunk") > 5
    assert text_of(events) == answer_text(job)
    assert [event.id for event in events[:3]] == ["1.1", "1.2", "1.3"]
    assert orjson.loads(events[-1].data)["cost_nano_usd"] == job.nano_usd > 0
    assert read_now(key, job, events[-1].id)[0] == 204
