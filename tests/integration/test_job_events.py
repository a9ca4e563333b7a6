"""The events of a job as callers read them: a worker's own runtime, the simulated provider, the layers of a web process."""

import asyncio

import orjson
import pytest
from celery.exceptions import TimeoutError  # noqa: A004 -- what `events()` raises

from rateguard import complete
from rateguard.api import still_in_force
from rateguard.api.jobs import events as door
from rateguard.api.layers.one_thread import OneThread
from rateguard.api.layers.waiting import waits
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.jobs.attempts import event_writer
from rateguard.jobs.ends import event_stream
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.intake.submit import submit
from tenants.keys import find_key, issue_key, revoke_key
from tests.api import Api
from tests.asgi import Caller
from tests.beside import in_database
from tests.eventreading import parts_of, voided
from tests.following import follower  # noqa: F401
from tests.line import MODEL, has_ended, wait_for

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("follower")]


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
    return submit(submission).job


def read_now(key, job, told=""):
    response = Api(key).get(f"/api/v1/jobs/{job.pk}/events", **({"Last-Event-ID": told} if told else {}))
    return response.status_code, list(parts_of(response.content.decode()))


class Reader:
    """A caller of the events in this process, on the layers of a web process."""

    def __init__(self, key, job, told=""):
        headers = {"Authorization": f"Bearer {key}", **({"Last-Event-ID": told} if told else {})}
        self._caller = Caller(waits(OneThread()), "GET", f"/api/v1/jobs/{job.pk}/events", **headers)

    @property
    def text(self):
        return self._caller.body.decode()

    @property
    def events(self):
        return list(parts_of(self.text))

    @property
    def is_done(self):
        return self._caller.task.done()

    def takes_nothing_more(self):
        self._caller.is_stuck = True

    async def until(self, is_there, within_s=15):
        async with asyncio.timeout(within_s):
            while not is_there(self.events):
                assert not self._caller.task.done(), self._caller.messages
                await asyncio.sleep(0.01)

    async def done(self):
        await self._caller.done(20)
        return self.events

    async def leave(self):
        self._caller.leave()
        return await self.done()


def names_of(events):
    return [event.name for event in events]


def chunks_in(events):
    return names_of(events).count("chunk")


def slowly(line, base_ms=0, per_token_ms=12):
    line.provider.control.configure(latency={"base_ms": base_ms, "per_token_ms": per_token_ms})


# ---- what is told


def test_a_streamed_job_is_told_piece_by_piece_and_then_its_usage_and_its_end(line, station, key):
    job = ended(stream_of(line))
    status, events = read_now(key, job)
    names = names_of(events)
    assert (status, names[0], names[-2:], "restarted" in names) == (200, "granted", ["usage", "succeeded"], False)
    assert names.count("chunk") > 5
    assert text_of(events) == answer_text(job)
    assert [event.id for event in events[:3]] == ["1.1", "1.2", "1.3"]
    assert orjson.loads(events[-1].data)["cost_nano_usd"] == job.nano_usd > 0
    assert orjson.loads(events[-2].data)["total_tokens"] == job.used_input_tokens + job.used_output_tokens
    assert read_now(key, job, events[-1].id)[0] == 204


def test_a_job_that_is_not_streamed_has_one_chunk_and_writes_nothing_to_redis(line, station, key):
    job = ended(line.submit())
    events = read_now(key, job)[1]
    assert names_of(events) == ["granted", "chunk", "usage", "succeeded"]
    assert orjson.loads(events[1].data) == orjson.loads(job.result)
    assert not line.redis.exists(event_stream.key_of(job.pk))


def test_an_answer_that_is_not_stored_is_whole_in_the_stream_alone(line, station, key):
    plain, streamed = ended(line.submit(store=False)), ended(stream_of(line, store=False))
    for job in (plain, streamed):
        assert job.result is None
        assert orjson.loads(event_stream.read_answer(job.pk, job.attempt))["choices"]
        assert event_stream.read_answer(job.pk, job.attempt + 1) is None
        assert 0 < line.redis.ttl(event_stream.key_of(job.pk)) <= 600
    assert names_of(read_now(key, plain)[1]) == ["granted", "chunk", "usage", "succeeded"]
    assert chunks_in(read_now(key, streamed)[1]) > 5
    line.redis.delete(event_stream.key_of(plain.pk))
    assert names_of(read_now(key, plain)[1]) == ["granted", "usage", "succeeded"]
    line.redis.delete(event_stream.key_of(streamed.pk))
    assert names_of(read_now(key, streamed, "1.5")[1]) == ["restarted", "usage", "succeeded"]


def test_waiting_jobs_tell_their_place_and_how_they_ended(line, key):
    first, second = line.submit(), line.submit()
    line.settled()
    told = [orjson.loads(read_now(key, job)[1][0].data) for job in (first, second)]
    assert [one["position"] for one in told] == [1, 2]
    cancel(first)
    assert names_of(read_now(key, first)[1]) == ["usage", "cancelled"]


def test_an_answer_longer_than_event_bytes_comes_in_one_piece_at_the_end(line, station, key, settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "EVENT_BYTES": 1_000}
    job = ended(stream_of(line))
    events = read_now(key, job)[1]
    assert (chunks_in(events), text_of(events)) == (1, answer_text(job))


def test_an_id_that_is_none_is_refused_and_another_tenants_job_is_not_there(line, key):
    job = line.submit()
    assert read_now(key, job, "17")[0] == 400
    assert read_now(issue_key(line.tenant("other"), "reader")[1], job)[0] == 404


# ---- who reads while it goes on


def test_a_reader_gets_chunks_as_they_come_and_after_a_cut_just_the_rest(line, station, key):
    slowly(line)
    asyncio.run(read_in_two(key, stream_of(line, max_tokens=40)))


async def read_in_two(key, job):
    first = Reader(key, job)
    await first.until(lambda events: chunks_in(events) >= 4)
    before = await first.leave()
    assert not await asyncio.to_thread(has_ended, job)
    after = await Reader(key, job, told=before[-1].id).done()
    assert "restarted" not in names_of(after)
    assert len({event.id for event in before + after if event.id}) == len([event for event in before + after if event.id])
    assert text_of(before + after) == answer_text(await asyncio.to_thread(ended, job))


def test_a_stream_that_is_flushed_on_the_way_ends_with_the_whole_answer_from_the_row(line, station, key):
    slowly(line)
    asyncio.run(read_over_a_flush(line, key, stream_of(line, max_tokens=40)))


async def read_over_a_flush(line, key, job):
    reader = Reader(key, job)
    await reader.until(lambda events: chunks_in(events) >= 4)
    before = await reader.leave()
    await asyncio.to_thread(wait_for, lambda: line.redis.xlen(event_stream.key_of(job.pk)) > len(before) + 2)
    line.redis.delete(event_stream.key_of(job.pk))  # what this reader has not seen is gone
    late, back = Reader(key, job), Reader(key, job, told=before[-1].id)
    whole = answer_text(await asyncio.to_thread(ended, job))
    fresh, again = await late.done(), await back.done()
    assert (names_of(fresh), text_of(fresh)) == (["granted", "chunk", "usage", "succeeded"], whole)
    assert text_of(before + again) == whole
    assert names_of(again)[-4:] == ["restarted", "chunk", "usage", "succeeded"]


def test_a_second_attempt_voids_what_was_told_of_the_first(line, station, key):
    line.provider.control.add_faults(Fault(FaultKind.CUT_STREAM, events=6))
    slowly(line)
    asyncio.run(read_two_attempts(key, stream_of(line)))


async def read_two_attempts(key, job):
    events = await Reader(key, job).done()
    names = names_of(events)
    assert names.count("restarted") == 1
    assert names.index("restarted") > names.index("chunk")
    assert [event.id for event in events if event.name == "granted"] == ["1.1", "2.1"]
    assert text_of(events) == answer_text(await asyncio.to_thread(ended, job))


def test_a_reader_hears_of_a_place_that_moves_and_of_the_end_of_a_job_that_never_ran(line, key):
    asyncio.run(wait_in_line(key, line.submit(), line.submit()))


async def wait_in_line(key, first, second):
    reader = Reader(key, second)
    await reader.until(lambda events: any('"position":2' in event.data for event in events))
    await asyncio.to_thread(cancel, first)
    await reader.until(lambda events: any('"position":1' in event.data for event in events))
    await asyncio.to_thread(cancel, second)
    assert names_of(await reader.done())[-2:] == ["usage", "cancelled"]


def test_a_reader_of_a_silent_job_hears_that_the_stream_lives_and_one_that_takes_nothing_is_cut(line, key, monkeypatch):
    monkeypatch.setattr(door, "BEAT_S", 0.05)
    monkeypatch.setattr(door, "SLOW_S", 0.2)
    asyncio.run(read_slowly(key, line.submit(), line.submit()))


async def read_slowly(key, first, second):
    reader, stuck = Reader(key, second), Reader(key, second)
    await reader.until(lambda _: reader.text.count(": still here\n\n") >= 2)
    stuck.takes_nothing_more()
    await asyncio.to_thread(cancel, first)
    await stuck.done()
    assert not reader.is_done
    await reader.leave()


def test_a_loop_in_python_gets_the_pieces_as_they_come(line, station):
    slowly(line)
    result = complete.delay("Name a river", model=MODEL, tenant="acme", max_tokens=20, stream=True)
    arrivals = [(event.name, event.text, result.job.state) for event in result.events(timeout=20)]
    assert [name for name, *_ in arrivals][-2:] == ["usage", "succeeded"]
    assert any(name == "chunk" and state == "running" for name, _, state in arrivals)
    assert "".join(text for _, text, _ in arrivals) == str(result.get(timeout=5))


def test_a_loop_in_python_ends_when_its_time_is_over(line):
    result = complete.delay("Name a river", model=MODEL, tenant="acme")
    with pytest.raises(TimeoutError, match="has not ended in time"):
        list(result.events(timeout=0.1))


def test_a_stopped_redis_loses_no_answer_and_slows_no_call(line, station, key, monkeypatch):
    """Every write of events fails: the call goes on, and the answer comes from the row."""
    monkeypatch.setattr(event_writer, "_executed", lambda _: None)
    job = ended(stream_of(line))
    events = read_now(key, job)[1]
    assert (names_of(events), text_of(events)) == (["granted", "chunk", "usage", "succeeded"], answer_text(job))


async def read_beside_a_revoked_key(other, key, job):
    mine, others = Reader(key, job), Reader(other, job)
    for reader in (mine, others):
        await reader.until(lambda events: names_of(events) == ["queued"])
    await in_database(lambda: revoke_key(find_key(key)))
    await mine.done()
    assert not others.is_done
    await others.leave()


def test_a_stream_ends_soon_when_its_key_is_revoked_and_no_other_does(line, key, monkeypatch):
    monkeypatch.setattr(still_in_force, "LOOK_S", 0.05)
    other = issue_key(line.acme, "other")[1]
    asyncio.run(read_beside_a_revoked_key(other, key, line.submit()))
    assert not still_in_force._watched.listening
