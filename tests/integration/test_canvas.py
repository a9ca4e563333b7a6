"""What hangs on a job's end goes on: once, whoever ends it and whoever dies."""

import base64
import datetime as dt
import threading
import uuid

import orjson
import pytest
from celery import chain, chord, group, shared_task, states
from celery.exceptions import ChordError, TaskRevokedError
from django.db import connection
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from rateguard import complete
from rateguard.engine.errors import InvalidRequest, LimitInTheWay
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.controls.runs import start_run, stop_run
from rateguard.jobs.ends import canvas_end, outbox
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.canvas import canvas_of
from rateguard.jobs.ends.errbacks import ERRBACK
from rateguard.jobs.ends.outbox import process_teller
from rateguard.jobs.ends.results import JobResultBackend
from rateguard.jobs.ends.transition import end
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Job, OutboxRow
from rateguard.jobs.states import CANCEL, EXPIRE, FAIL, REFUSE, RETRY, STOP, AttemptState, State, Transition
from rateguard.worker.caretaker import Caretaker
from tests.line import MODEL, wait_for

WAIT_S = 20
ANSWERED = Transition("succeeded", frozenset({State.QUEUED}), State.SUCCEEDED)


def ask(text="hello", **options):
    """A call of the simulated model, as a step of a canvas."""
    return complete.s(text, model=MODEL, tenant="acme", max_tokens=20, **options)


def in_an_hour():
    return timezone.now() + dt.timedelta(hours=1)


def answered(job):
    """The job has succeeded, without a provider."""
    Job.objects.filter(pk=job.pk).update(result='{"choices": []}')
    end(Job.objects.filter(pk=job.pk), ANSWERED)


def settled(claimed, transition, state):
    settle([Ended(job=claimed.job, attempt=claimed.attempt, state=state, transition=transition, usage=Usage(), nano_usd=0)])


def asked(result):
    """What a job's messages say, in one text."""
    return "\n".join(message["content"] for message in orjson.loads(Job.objects.get(pk=result.id).request)["messages"])


@shared_task(name="tests.canvas.tell")
def tell(value):
    """An ordinary task, which nobody runs here."""


@shared_task(name="tests.canvas.explain")
def explain(request, error, traceback):
    """An errback of the new style."""


@pytest.fixture
def published(line):
    """What lies in the default queue: (task's name, its id, its first argument)."""

    def published():
        found = []
        for raw in reversed(line.redis.lrange("celery", 0, -1)):
            message = orjson.loads(raw)
            arguments, *_ = orjson.loads(base64.b64decode(message["body"]))
            found.append((message["headers"]["task"], message["headers"]["id"], arguments[0]))
        return found

    return published


@pytest.fixture
def untold(monkeypatch):
    """The process dies between the end of a job and the telling."""
    with monkeypatch.context() as killed:
        killed.setattr(outbox, "tell", lambda _: None)
        yield killed


# ---- what goes on


def test_the_next_step_of_a_chain_is_asked_what_came_before(line, station):
    result = chain(ask("first"), ask("Summarise: {previous}"), ask("In a word: {previous}"))()
    answer = result.get(timeout=WAIT_S)
    first, second = result.parent.parent.get(), result.parent.get()
    assert asked(result.parent) == f"Summarise: {first}"
    assert asked(result) == f"In a word: {second}"
    assert (answer.id, str(answer) != "") == (result.id, True)
    assert [child.id for child in result.parent.children] == [result.id]
    assert not Job.objects.filter(canvas__isnull=False).exclude(canvas__has_key="children").exists()


def test_a_chords_body_gets_all_answers_in_order_and_once(line, station):
    result = chord([ask(f"part {n}") for n in range(5)])(ask("All: {previous}"))
    result.get(timeout=WAIT_S)
    parts = result.parent.get()
    assert asked(result) == "All: " + "\n\n".join(str(part) for part in parts)
    assert len({part.id for part in parts}) == 5
    assert Job.objects.count() == 6


@pytest.mark.long
def test_chains_and_groups_lie_in_each_other(line, station):
    result = chain(ask("first"), group(chain(ask("a {previous}"), ask("aa {previous}")), ask("b {previous}")), ask("last {previous}"))()
    result.get(timeout=WAIT_S)
    assert Job.objects.filter(state=State.SUCCEEDED).count() == 5
    assert asked(result).startswith("last ")


@pytest.mark.long
def test_a_link_that_is_a_job_gets_the_answer(line, station):
    linked = ask("After: {previous}").set(task_id=str(uuid.uuid4()))
    result = ask("first").apply_async(link=linked)
    answer = result.get(timeout=WAIT_S)
    after = complete.AsyncResult(linked.id)
    wait_for(lambda: after.state == states.SUCCESS)
    assert asked(after) == f"After: {answer}"


@pytest.mark.long
def test_an_ordinary_step_is_published_with_the_answer_under_its_own_id(line, station, published):
    result = chain(ask("first"), tell.s())()
    answer = result.parent.get(timeout=WAIT_S)
    wait_for(published)
    assert published() == [(tell.name, result.id, answer)]


@pytest.mark.long
def test_an_immutable_step_gets_nothing(line, station):
    result = chain(ask("first"), complete.si("second", model=MODEL, tenant="acme"))()
    result.get(timeout=WAIT_S)
    assert asked(result) == "second"


# ---- what fails


@pytest.mark.long
def test_a_failed_part_fails_the_chord_and_what_comes_after_it(line, station, published):
    body = ask("All: {previous}").set(link_error=[tell.s()])
    result = chain(chord([ask("part"), ask("late", run_at=in_an_hour())], body), ask("never"))()
    late = Job.objects.get(state=State.SCHEDULED)
    cancel(late)
    with pytest.raises(ChordError, match=str(late.pk)):
        result.parent.get(timeout=WAIT_S, follow_parents=False)
    with pytest.raises(ChordError):
        result.get(timeout=WAIT_S, follow_parents=False)
    assert Job.objects.count() == 2
    assert published() == [(tell.name, published()[0][1], result.parent.id)]


def test_a_failed_job_calls_its_errbacks_and_fails_the_rest_of_its_chain(line, published):
    first = ask("first", run_at=in_an_hour())
    result = chain(first, ask("second"), ask("third")).apply_async(link_error=[tell.s(), explain.s()])
    job = Job.objects.get()
    cancel(job)
    assert process_teller().flush(WAIT_S)
    for step in (result, result.parent, result.parent.parent):
        assert step.state == states.REVOKED
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WAIT_S)
    told, explained = published()
    assert told[::2] == (tell.name, str(job.pk))
    assert (explained[0], explained[2]["task"]) == (ERRBACK, explain.name)


@pytest.mark.long
def test_a_step_that_cannot_be_submitted_fails_and_nothing_waits_for_it(line, station):
    result = chain(ask("first"), complete.s("second", model="nobody-knows", tenant="acme"), ask("third"))()
    result.parent.parent.get(timeout=WAIT_S)
    with pytest.raises(InvalidRequest, match="nobody-knows") as caught:
        result.get(timeout=WAIT_S)
    assert caught.value.code == "unknown_model"
    assert Job.objects.count() == 1


@pytest.mark.long
def test_a_step_that_was_revoked_before_its_turn_does_not_begin(line, station):
    result = chain(ask("first"), ask("second"), ask("third"))()
    JobResultBackend(app=complete.app).mark_as_revoked(result.parent.id)
    wait_for(lambda: result.state == states.REVOKED)
    assert (result.parent.parent.state, Job.objects.count()) == (states.SUCCESS, 1)


# ---- whoever ends a job writes it down


def test_whoever_ends_a_waiting_job_writes_what_hangs_on_it_and_nothing_for_others(line, untold):
    run = start_run(line.acme)
    ways = {
        "cancelled": lambda jobs: end(jobs, CANCEL),
        "expired": lambda jobs: end(jobs, EXPIRE),
        "refused": lambda jobs: end(jobs, REFUSE, error_code="exceeds_limit"),
        "its run stopped": lambda _: stop_run(run),
    }
    for how, ends in ways.items():
        hung, other = line.submit(run=run.pk, canvas={"link": [dict(tell.s())]}), line.submit(run=run.pk)
        ends(Job.objects.filter(pk__in=[hung.pk, other.pk]))
        assert list(OutboxRow.objects.values_list("job", flat=True)) == [hung.pk], how
        OutboxRow.objects.all().delete()


def test_an_attempt_that_ends_its_job_writes_what_hangs_on_it(line, untold):
    line.submit_many(4, canvas={"link": [dict(tell.s())]})
    line.settled()
    line.beat()
    failed, stopped, again, _ = line.claim(line.next_message())
    settled(failed, FAIL, AttemptState.FAILED)
    settled(stopped, STOP, AttemptState.CANCELLED)
    settled(again, RETRY, AttemptState.FAILED)
    assert set(OutboxRow.objects.values_list("job", flat=True)) == {failed.job, stopped.job}


# ---- once


def test_of_many_who_tell_one_does(line, untold):
    result = chord([ask("a", run_at=in_an_hour()), ask("b", run_at=in_an_hour())])(ask("All: {previous}"))
    first, second = Job.objects.all()
    for job in (first, second):
        cancel(job)
    outbox.deliver([first.pk, first.pk, first.pk])
    assert result.state == states.PENDING  # the second has not been told: one part is open
    outbox.deliver([second.pk, first.pk])
    assert result.state == states.FAILURE
    assert not OutboxRow.objects.exists()


def test_what_is_told_and_that_it_was_told_commit_together(line, untold, monkeypatch):
    job = line.submit(canvas=canvas_of({"link": ask("next"), "chain": None}))
    answered(job)
    untold.setattr(canvas_end, "_told", _die)
    with pytest.raises(KeyboardInterrupt):
        outbox.deliver([job.pk])
    assert (Job.objects.count(), OutboxRow.objects.count()) == (1, 1)
    untold.undo()
    outbox.deliver([job.pk, job.pk])
    assert (Job.objects.count(), OutboxRow.objects.count()) == (2, 0)


def _die(_):
    raise KeyboardInterrupt


def test_what_a_dead_process_left_the_caretaker_tells(line, untold, monkeypatch):
    job = line.submit(canvas=canvas_of({"link": ask("next")}))
    answered(job)
    untold.undo()
    monkeypatch.setattr(outbox, "LEFT_BEHIND_AFTER", dt.timedelta())
    caretaker = Caretaker(line.gate, process_pump(), "w1", 1.0)
    caretaker._has_lease()
    caretaker.round()
    assert process_teller().flush(WAIT_S)
    assert Job.objects.count() == 2


def test_racing_tellers_ring_a_chord_once(line, untold):
    result = chord([ask(f"{n}", run_at=in_an_hour()) for n in range(6)])(ask("All: {previous}"))
    parts = list(Job.objects.values_list("pk", flat=True))
    Job.objects.update(state=State.QUEUED, run_at=None)
    for job in Job.objects.all():
        answered(job)
    together = threading.Barrier(4)

    def tell_all():
        together.wait()
        outbox.deliver(parts)
        connection.close()

    threads = [threading.Thread(target=tell_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Job.objects.exclude(pk__in=parts).values_list("pk", flat=True)) == {uuid.UUID(result.id)}
    assert not OutboxRow.objects.exists()


# ---- what is in the way


def test_while_the_broker_is_away_nothing_is_told_by_halves_and_later_all_of_it(line, published, monkeypatch):
    monkeypatch.setattr(outbox, "FIRST_PAUSE_S", 0.01)
    send, is_away = tell.app.amqp.send_task_message, threading.Event()

    def send_or_fail(*args, **kwargs):
        if not is_away.is_set():
            is_away.set()
            raise BrokerError("away")
        return send(*args, **kwargs)

    monkeypatch.setattr(tell.app.amqp, "send_task_message", send_or_fail)
    job = line.submit(canvas=canvas_of({"link": [ask("next"), tell.s()]}))
    answered(job)
    assert process_teller().flush(WAIT_S)
    assert (is_away.is_set(), Job.objects.count(), len(published())) == (True, 2, 1)


@pytest.mark.long
def test_a_canvas_that_cannot_be_read_is_kept_and_holds_up_no_other(line):
    bad, good = line.submit(canvas={"link": [{"kwargs": {}}]}), line.submit(canvas=canvas_of({"link": ask("next")}))
    for job in (bad, good):
        answered(job)
    assert process_teller().flush(WAIT_S)
    assert Job.objects.count() == 3
    assert OutboxRow.objects.get().job_id == bad.pk
    assert process_teller().known() == [bad.pk]
    assert outbox.sweep() == 0


@pytest.mark.long
def test_a_step_waits_until_the_tenants_queue_has_room(line, untold):
    job = line.submit(canvas=canvas_of({"link": ask("next")}))
    answered(job)
    line.acme.max_waiting = 1
    line.acme.save()
    line.submit()
    with pytest.raises(LimitInTheWay):
        outbox.deliver([job.pk])
    line.acme.max_waiting = 10
    line.acme.save()
    outbox.deliver([job.pk])
    assert Job.objects.filter(state=State.QUEUED).count() == 2


@pytest.mark.long
def test_what_no_json_can_hold_is_refused_before_anything_is_written(line):
    with pytest.raises(InvalidRequest) as caught:
        ask("first").apply_async(link=tell.s(object()))
    assert (caught.value.code, Job.objects.exists()) == ("invalid_canvas", False)
