"""What hangs on a job's end goes on: once, whoever ends it and whoever dies."""

import json
import uuid

import orjson
import pytest
from celery import chain, chord, group, shared_task, states
from celery.exceptions import ChordError, TaskRevokedError

from rateguard import complete
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs import moving, outbox
from rateguard.jobs.cancel import cancel
from rateguard.jobs.canvas import canvas_of
from rateguard.jobs.models import Job, OutboxRow
from rateguard.jobs.outbox import process_teller
from rateguard.jobs.pump import process_pump
from rateguard.jobs.results import JobResultBackend
from rateguard.jobs.runs import start_run, stop_run
from rateguard.jobs.states import CANCEL, EXPIRE, FAIL, REFUSE, STOP, AttemptState, State
from rateguard.jobs.transition import end
from rateguard.worker.caretaker import Caretaker
from tests.line import MODEL, wait_for

WAIT_S = 20


def ask(text="hello", **options):
    """A call of the simulated model, as a step of a canvas."""
    return complete.s(text, model=MODEL, tenant="acme", max_tokens=20, **options)


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
            message = json.loads(raw)
            body = orjson.loads(__import__("base64").b64decode(message["body"]))
            found.append((message["headers"]["task"], message["headers"]["id"], body[0][0]))
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


def test_chains_and_groups_lie_in_each_other(line, station):
    result = chain(ask("first"), group(chain(ask("a {previous}"), ask("aa {previous}")), ask("b {previous}")), ask("last {previous}"))()
    result.get(timeout=WAIT_S)
    assert Job.objects.filter(state=State.SUCCEEDED).count() == 5
    assert asked(result).startswith("last ")


def test_a_link_that_is_a_job_gets_the_answer(line, station):
    linked = ask("After: {previous}").set(task_id=str(uuid.uuid4()))
    result = ask("first").apply_async(link=linked)
    answer = result.get(timeout=WAIT_S)
    after = complete.AsyncResult(linked.id)
    wait_for(lambda: after.state == states.SUCCESS)
    assert asked(after) == f"After: {answer}"


def test_an_ordinary_step_is_published_with_the_answer_under_its_own_id(line, station, published):
    result = chain(ask("first"), tell.s())()
    answer = result.parent.get(timeout=WAIT_S)
    wait_for(lambda: published())
    assert published() == [(tell.name, result.id, answer)]


def test_an_immutable_step_gets_nothing(line, station):
    result = chain(ask("first"), complete.si("second", model=MODEL, tenant="acme"))()
    result.get(timeout=WAIT_S)
    assert asked(result) == "second"


# ---- what fails


def test_a_failed_part_fails_the_chord_and_what_comes_after_it(line, station, published):
    body = ask("All: {previous}").set(link_error=[tell.s()])
    result = chain(chord([ask("part"), ask("late", run_at=_far())], body), ask("never"))()
    late = Job.objects.get(state=State.SCHEDULED)
    cancel(late)
    with pytest.raises(ChordError, match=str(late.pk)):
        result.parent.get(timeout=WAIT_S, follow_parents=False)
    with pytest.raises(ChordError):
        result.get(timeout=WAIT_S, follow_parents=False)
    assert Job.objects.count() == 2
    assert published() == [(tell.name, published()[0][1], result.parent.id)]


def test_a_failed_job_calls_its_errbacks_and_fails_the_rest_of_its_chain(line, published):
    first = ask("first", run_at=_far())
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
    assert (explained[0], explained[2]["task"]) == (moving.ERRBACK if hasattr(moving, "ERRBACK") else "rateguard.errback", explain.name)


def test_a_step_that_cannot_be_submitted_fails_and_nothing_waits_for_it(line, station):
    result = chain(ask("first"), complete.s("second", model="nobody-knows", tenant="acme"), ask("third"))()
    result.parent.parent.get(timeout=WAIT_S)
    with pytest.raises(InvalidRequest, match="nobody-knows"):
        result.get(timeout=WAIT_S)
    assert Job.objects.count() == 1


def test_a_step_that_was_revoked_before_its_turn_does_not_begin(line, station):
    result = chain(ask("first"), ask("second"), ask("third"))()
    JobResultBackend(app=complete.app).mark_as_revoked(result.parent.id)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WAIT_S)
    assert Job.objects.count() == 1


# ---- whoever ends a job writes it down


def _ends():
    def settled(transition, state):
        def ends(line, claimed):
            from tests.line import Ended, Usage, settle

            settle([Ended(job=claimed.job, attempt=claimed.attempt, state=state, transition=transition, usage=Usage(), nano_usd=0)])

        return ends

    return {
        "failed": settled(FAIL, AttemptState.FAILED),
        "stopped": settled(STOP, AttemptState.CANCELLED),
    }


@pytest.mark.parametrize("how", ["cancelled", "expired", "refused", "its run stopped"])
def test_whoever_ends_a_waiting_job_writes_what_hangs_on_it(line, untold, how):
    run = start_run(line.acme)
    hung = {"link": [dict(tell.s())]}
    with_canvas, without = line.submit(run=run.pk, canvas=hung), line.submit(run=run.pk)
    mine = Job.objects.filter(pk__in=[with_canvas.pk, without.pk])
    match how:
        case "cancelled":
            end(mine, CANCEL)
        case "expired":
            end(mine, EXPIRE)
        case "refused":
            end(mine, REFUSE, error_code="exceeds_limit")
        case _:
            stop_run(run)
    assert list(OutboxRow.objects.values_list("job", flat=True)) == [with_canvas.pk]


@pytest.mark.parametrize("how", _ends())
def test_an_attempt_that_ends_its_job_writes_what_hangs_on_it(line, untold, how):
    claimed = line.run(canvas={"link": [dict(tell.s())]})
    _ends()[how](line, claimed)
    assert list(OutboxRow.objects.values_list("job", flat=True)) == [claimed.job]


def test_an_attempt_whose_job_waits_again_writes_nothing(line, untold):
    from rateguard.jobs.states import RETRY
    from tests.line import Ended, Usage, settle

    claimed = line.run(canvas={"link": [dict(tell.s())]})
    settle([Ended(job=claimed.job, attempt=claimed.attempt, state=AttemptState.FAILED, transition=RETRY, usage=Usage(), nano_usd=0)])
    assert not OutboxRow.objects.exists()


# ---- once


def test_of_many_who_tell_one_does(line, untold):
    result = chord([ask("a", run_at=_far()), ask("b", run_at=_far())])(ask("All: {previous}"))
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
    Job.objects.filter(pk=job.pk).update(result='{"choices": []}')
    end(Job.objects.filter(pk=job.pk), _SUCCEED_FROM_QUEUED)
    untold.setattr(outbox, "_told", _die)
    with pytest.raises(KeyboardInterrupt):
        outbox.deliver([job.pk])
    assert (Job.objects.count(), OutboxRow.objects.count()) == (1, 1)
    untold.undo()
    outbox.deliver([job.pk, job.pk])
    assert (Job.objects.count(), OutboxRow.objects.count()) == (2, 0)


def _die(_):
    raise KeyboardInterrupt


def _far():
    import datetime as dt

    from django.utils import timezone

    return timezone.now() + dt.timedelta(hours=1)


from rateguard.jobs.states import Transition  # noqa: E402

_SUCCEED_FROM_QUEUED = Transition("succeeded", frozenset({State.QUEUED}), State.SUCCEEDED)


def test_what_a_dead_process_left_the_caretaker_tells(line, untold, monkeypatch):
    job = line.submit(canvas=canvas_of({"link": ask("next")}))
    Job.objects.filter(pk=job.pk).update(result='{"choices": []}')
    end(Job.objects.filter(pk=job.pk), _SUCCEED_FROM_QUEUED)
    untold.undo()
    monkeypatch.setattr(outbox, "LEFT_BEHIND_AFTER", __import__("datetime").timedelta())
    caretaker = Caretaker(line.gate, process_pump(), "w1", 1.0)
    caretaker._has_lease()
    caretaker.round()
    assert process_teller().flush(WAIT_S)
    assert Job.objects.count() == 2
