"""What people do with many rows at once: told first how many it touches, done once, and told what became of it."""

import datetime as dt
import re

import pytest
from django.utils import timezone

from rateguard.admin.machine import choosing, retrying, verb
from rateguard.engine.lanes import Lane
from rateguard.jobs.controls.runs import start_run
from rateguard.jobs.intake import retry_many
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import State
from tenants.models import AuditEntry, Pause, Run
from tests.integration.test_admin_machine import list_of, page_of, signed_in
from tests.line import MODEL, events_of, state_of, states

JOBS, RUNS, PAUSES = "rateguard_jobs_job", "rateguard_tenants_run", "rateguard_tenants_pause"


def sentences_of(response):
    return list(response.context["look"].sentences)


class Asking:
    """A person at a list: chooses rows and a verb, reads the page in between, says yes."""

    def __init__(self, client, name, **asked):
        self.client, self.path = client, list_of(name, **asked)

    def look(self, verb_name, rows, *, is_all=False, **more):
        told = {
            "action": verb_name,
            "_selected_action": [str(row.pk) for row in rows],
            "select_across": "1" if is_all else "0",
            "index": "0",
        }
        self.page = self.client.post(self.path, {**told, **more})
        return sentences_of(self.page)

    def hidden(self):
        form = re.search(r'<form method="post">.*?</form>', self.page.content.decode(), re.DOTALL)[0]
        found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form)
        names = {name for name, _ in found}
        return {name: [value for other, value in found if other == name] for name in names}

    def yes(self, **more):
        return [str(message) for message in self.client.post(self.path, {**self.hidden(), **more}, follow=True).context["messages"]]


@pytest.fixture
def boss(line):
    return signed_in("boss")


@pytest.fixture
def ann(line):
    return signed_in("ann", acme="admin")


def ended(line, count, state=State.FAILED):
    rows = line.submit_many(count)
    Job.objects.filter(pk__in=[row.pk for row in rows]).update(state=state, finished_at=timezone.now() - dt.timedelta(seconds=1))
    return rows


class TestCancel:
    def test_tells_how_many_can_be_cancelled_and_does_it_in_ones_name(self, line, ann):
        running = Job.objects.get(pk=line.run().job)
        waiting, over = line.submit_many(3), ended(line, 2, State.SUCCEEDED)
        asking = Asking(ann, JOBS)
        told = asking.look("cancel_jobs", [running, *waiting, *over])
        assert told[0] == "4 of the 6 chosen jobs can be cancelled."
        assert told[1].startswith("3 jobs wait and end at once")
        assert told[2].startswith("1 job runs and is asked to end")
        assert told[3] == "2 have ended already (succeeded)."
        assert states()[State.CANCELLED] == 0
        told = asking.yes()
        assert told[0] == "3 jobs cancelled."
        assert told[1].startswith("1 running job asked to end")
        line.settled()
        assert (states()[State.CANCELLED], line.gate.inspect().waiting) == (3, 0)
        kinds = dict(JobEvent.objects.filter(detail__by="user ann").values_list("job", "kind"))
        assert kinds == {running.pk: "cancel_requested", **{job.pk: "cancelled" for job in waiting}}

    def test_a_second_click_does_nothing_and_what_ended_meanwhile_is_told(self, line, ann):
        waiting = line.submit_many(3)
        asking = Asking(ann, JOBS)
        asking.look("cancel_jobs", waiting)
        Job.objects.filter(pk=waiting[0].pk).update(state=State.SUCCEEDED, finished_at=timezone.now())
        assert asking.yes() == ["2 jobs cancelled."]
        assert asking.yes() == ["There was nothing left to do: everything chosen had moved on already."]
        assert JobEvent.objects.filter(kind="cancelled").count() == 2

    def test_all_that_match_is_bounded_and_said_plainly(self, line, boss, monkeypatch):
        for place in (choosing, verb):
            monkeypatch.setattr(place, "AT_ONCE", 2)
        globex = line.submit_many(1, line.tenant("globex"))
        mine = line.submit_many(3)
        asking = Asking(boss, JOBS, tenant="acme")
        told = asking.look("cancel_jobs", mine[:1], is_all=True)
        assert told[0] == "More than 2 jobs can be cancelled, of the more than 2 jobs that match the filter."
        assert "the newest are taken now" in " ".join(told)
        late = line.submit()
        assert asking.yes() == ["2 jobs cancelled."]
        assert (states()[State.CANCELLED], state_of(late), state_of(globex[0])) == (2, State.QUEUED, State.QUEUED)

    def test_another_tenants_job_is_not_touched(self, line, ann):
        foreign, own = line.submit(line.tenant("globex")), line.submit()
        asking = Asking(ann, JOBS)
        assert asking.look("cancel_jobs", [foreign, own])[0] == "The chosen job can be cancelled."
        asking.yes()
        assert (state_of(foreign), state_of(own)) == (State.QUEUED, State.CANCELLED)

    @pytest.mark.long
    def test_a_tenant_at_which_one_only_looks_keeps_its_jobs(self, line):
        foreign = line.submit(line.tenant("globex"))
        asking = Asking(signed_in("mixed", acme="admin", globex="viewer"), JOBS, tenant="globex")
        told = asking.look("cancel_jobs", [foreign])
        assert told[0] == "The chosen job cannot be cancelled."
        assert "only look" in told[1]
        asking.yes()
        assert state_of(foreign) == State.QUEUED

    @pytest.mark.long
    def test_from_a_jobs_page_it_goes_back_there(self, line, ann):
        job = line.submit()
        page = ann.get(page_of(job)).content.decode()
        assert 'value="cancel_jobs"' in page
        assert 'value="retry_jobs"' not in page
        asking = Asking(ann, JOBS)
        asking.look("cancel_jobs", [job], verb_from_page=str(job.pk))
        answer = ann.post(asking.path, asking.hidden())
        assert (answer.status_code, answer.url) == (302, page_of(job))
        assert state_of(job) == State.CANCELLED


class TestRetry:
    def test_tells_what_waits_again_and_what_was_refused(self, line, ann):
        over, fine = ended(line, 3), ended(line, 1, State.SUCCEEDED)
        Job.objects.filter(pk=over[0].pk).update(model="gone")
        asking = Asking(ann, JOBS)
        told = asking.look("retry_jobs", [*over, *fine])
        assert told[0] == "3 of the 4 chosen jobs can be retried."
        assert told[2].startswith("1 has succeeded")
        told = asking.yes()
        assert told[0] == "2 jobs waiting again."
        assert told[1].startswith("1 job refused: ")
        assert {job.pk: state_of(job) for job in over[1:]} == {job.pk: State.QUEUED for job in over[1:]}
        assert JobEvent.objects.filter(kind="resubmitted", detail__by="user ann").count() == 2

    def test_a_job_that_failed_again_is_not_retried_by_the_same_yes(self, line, ann):
        (job,) = ended(line, 1)
        asking = Asking(ann, JOBS)
        asking.look("retry_jobs", [job])
        assert asking.yes() == ["1 job waiting again."]
        Job.objects.update(state=State.FAILED, finished_at=timezone.now())
        assert "nothing left to do" in asking.yes()[0]
        assert events_of(job).count("resubmitted") == 1

    @pytest.mark.long
    def test_what_time_does_not_suffice_for_stays_as_it_is(self, line, ann, monkeypatch):
        for place in (retrying, retry_many):
            monkeypatch.setattr(place, "PAGE", 1)
        over = ended(line, 3)
        asking = Asking(ann, JOBS)
        asking.look("retry_jobs", over)
        monkeypatch.setattr(verb, "WITHIN_S", 0.0)
        told = asking.yes()
        assert told[0] == "1 job waiting again."
        assert told[1].startswith("2 jobs not reached")
        assert states()[State.FAILED] == 2


class TestRequeueAndLane:
    def test_what_runs_is_asked_back_and_what_waits_for_its_time_goes_on(self, line, ann):
        running, later = Job.objects.get(pk=line.run().job), line.submit(run_at=timezone.now() + dt.timedelta(hours=1))
        asking = Asking(ann, JOBS)
        told = asking.look("requeue_jobs", [running, later, *ended(line, 1)])
        assert told[0] == "2 of the 3 chosen jobs can be put back in line."
        assert "1 has ended already (failed)" in told[3]
        assert asking.yes() == ["1 running job asked to come back, within seconds.", "1 job in line now."]
        assert asking.yes() == ["There was nothing left to do: everything chosen had moved on already."]
        kinds = dict(JobEvent.objects.filter(detail__by="user ann").values_list("job", "kind"))
        assert kinds == {running.pk: "requeue_requested", later.pk: "released"}

    def test_a_lane_is_asked_for_and_only_what_waits_moves(self, line, ann):
        jobs = line.submit_many(2)
        asking = Asking(ann, JOBS)
        assert asking.look("move_jobs", [*jobs, *ended(line, 1)])[0] == "2 of the 3 chosen jobs can be moved."
        assert asking.yes(lane="high") == ["2 jobs moved to lane high."]
        assert set(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("lane", flat=True)) == {Lane.HIGH}


class TestRuns:
    def test_a_stop_takes_the_jobs_along_and_is_noted(self, line, ann):
        runs = [start_run(line.acme, name=f"r{number}") for number in range(2)]
        Run.objects.filter(pk=runs[1].pk).update(state="stopped", stopped_at=timezone.now())
        jobs = line.submit_many(2, run=runs[0].pk)
        asking = Asking(ann, RUNS)
        told = asking.look("stop_runs", runs)
        assert told[0] == "1 of the 2 chosen runs can be stopped."
        assert "2 jobs that wait or run" in told[1]
        assert asking.yes() == ["1 run stopped."]
        assert {state_of(job) for job in jobs} == {State.CANCELLED}
        assert AuditEntry.objects.get(kind="run").by == "user ann"
        assert "nothing left to do" in asking.yes()[0]

    @pytest.mark.long
    def test_a_tenants_admin_pauses_and_resumes_its_runs(self, line, ann):
        run = start_run(line.acme)
        asking = Asking(ann, RUNS)
        assert asking.look("pause_rows", [run])[0] == "The chosen run can be paused."
        assert asking.yes(minutes="60", reason="a fire") == ["1 run paused for 1 hour."]
        row = Pause.objects.get()
        assert (row.target, row.reason, row.created_by) == (run.pk.hex, "a fire", "user ann")
        assert "paused already" in " ".join(asking.look("pause_rows", [run]))
        asking.look("resume_rows", [run])
        assert asking.yes() == ["1 run resumed."]
        assert not Pause.objects.exists()


class TestPauses:
    def test_an_operator_pauses_anything_and_lifts_it(self, line, boss):
        for kind, name in (("all", ""), ("tenant", "acme"), ("lane", "low"), ("model", MODEL), ("deployment", "sim-1"), ("account", "sim")):
            answer = boss.post(
                list_of(PAUSES).replace("/?", "/") + "add/", {"target_kind": kind, "target": name, "minutes": "", "reason": "x"}
            )
            assert answer.status_code == 302, answer.context and answer.context["errors"]
        assert Pause.objects.count() == 6
        asking = Asking(boss, PAUSES)
        assert asking.look("resume_pauses", Pause.objects.all())[0] == "6 of the 6 chosen pauses can be lifted."
        assert asking.yes() == ["6 pauses lifted."]
        assert AuditEntry.objects.filter(kind="pause", by="user boss").count() == 12

    @pytest.mark.long
    def test_what_cannot_be_paused_is_told_and_nothing_is_written(self, line, boss, ann):
        for client, kind, name in ((boss, "tenant", "nobody"), (boss, "all", "x"), (ann, "tenant", "acme"), (ann, "all", "")):
            answer = client.post(list_of(PAUSES) + "add/", {"target_kind": kind, "target": name})
            assert answer.status_code == 200
            assert answer.context["errors"]
        assert not Pause.objects.exists()
        Pause.objects.create(target_kind="tenant", target=str(line.acme.pk))
        asking = Asking(ann, PAUSES)
        assert asking.look("resume_pauses", Pause.objects.all())[0] == "The chosen pause cannot be lifted."
        asking.yes()
        assert Pause.objects.exists()


@pytest.mark.long
def test_the_queue_bound_and_the_budget_hold_for_a_retry_by_hand(line, ann):
    over = ended(line, 2)
    line.acme.max_waiting = 1
    line.acme.save()
    asking = Asking(ann, JOBS)
    asking.look("retry_jobs", over)
    told = asking.yes()
    assert told[0] == "1 job waiting again."
    assert told[1].startswith("1 job refused: ")
