"""The pages of jobs: each filter finds and hides, pages hold still, nobody sees another's, and who may cancel and retry does."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

from __future__ import annotations

import datetime as dt
import json
import re
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rateguard.engine.lanes import Lane
from rateguard.jobs.failures import fingerprint_of
from rateguard.jobs.insight import search
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import TERMINAL, State
from tenants.models import Member, MemberRole
from tests.tenancy import CHAT_MODEL, acme, add_tenant  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_url")]

JOBS = "/dashboard/jobs"
BACKEND = "django.contrib.auth.backends.ModelBackend"
SECRET = "<script>alert('canary-51c3')</script>"
MOST_QUERIES = 15


def person(name, *tenants, role=MemberRole.MEMBER):
    """A browser of somebody who is signed in; of an operator where no tenant is given."""
    users = get_user_model().objects
    user = users.create_user(name) if tenants else users.create_superuser(name)
    for tenant in tenants:
        Member.objects.create(user=user, tenant=tenant, role=role)
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


@pytest.fixture
def mia(acme):
    return person("mia", acme.tenant)


@pytest.fixture
def olga(acme):
    return person("olga")


def add(tenant, ago_s=60, **columns):
    at = timezone.now() - dt.timedelta(seconds=ago_s)
    row = {
        "tenant": tenant,
        "model": CHAT_MODEL,
        "endpoint": "chat",
        "state": "queued",
        "request": json.dumps({"model": CHAT_MODEL, "messages": [{"role": "user", "content": f"say {SECRET}"}]}),
        "path": str(tenant.pk),
        "submitted_at": at,
        "queued_at": at,
        **dict.fromkeys(("input_tokens", "output_tokens", "max_output_tokens", "timeout_s", "max_tries"), 1),
    }
    if columns.get("state") in TERMINAL:
        row["finished_at"] = at
    if columns.get("state") == State.SCHEDULED:
        row["run_at"] = at + dt.timedelta(days=1)
    job = Job.objects.create(**{**row, **columns})
    JobEvent.objects.create(job=job, kind="submitted", at=job.submitted_at)
    return job


def shown(client, **given):
    """The answer to a search, with its panel."""
    response = client.get(f"{JOBS}?{urlencode(given)}")
    assert response.status_code == 200, response.content
    return response.context["panel"]


def found(client, **given):
    return [line.id for line in shown(client, **given).lines]


class TestFilters:
    @pytest.mark.parametrize(
        ("given", "columns"),
        [
            ({"state": "waiting"}, {"state": "scheduled"}),
            ({"state": "waiting"}, {"state": "queued"}),
            ({"state": "queued"}, {"state": "queued"}),
            ({"state": "scheduled"}, {"state": "scheduled"}),
            ({"state": "running"}, {"state": "running", "holder": "w"}),
            ({"state": "ended-badly"}, {"state": "expired"}),
            ({"state": "failed"}, {"state": "failed"}),
            ({"model": "other"}, {"model": "other"}),
            ({"lane": "high"}, {"lane": Lane.HIGH}),
            ({"user": "ada"}, {"user": "ada"}),
            ({"team": "ml"}, {"team": "ml"}),
            ({"label": "feature=a:b, x=1"}, {"labels": {"feature": "a:b", "x": "1"}}),
            ({"deployment": "eu-1"}, {"deployment": "eu-1"}),
            ({"error": "timeout"}, {"error_code": "timeout"}),
            ({"run": "01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e"}, {}),
            ({"q": "req-1"}, {"request_id": "req-1"}),
            ({"q": "order-1"}, {"idempotency_key": "order-1", "ago_s": 9 * 86_400}),
        ],
        ids=str,
    )
    def test_a_filter_shows_what_it_names_and_nothing_else(self, acme, mia, olga, given, columns):
        add(acme.tenant, state="succeeded", user="eve", labels={"feature": "a:b"})
        job = add(acme.tenant, **{"state": "succeeded", **columns, **({"run": given["run"]} if "run" in given else {})})
        assert found(mia, **given) == found(olga, **given) == [job.pk]

    def test_a_key_is_named_by_its_name_or_its_beginning(self, acme, mia):
        job = add(acme.tenant, api_key_id=acme.key.pk)
        add(acme.tenant)
        assert found(mia, key="tests") == found(mia, key=acme.key.prefix) == [job.pk]
        assert b"There is no key nobody" in mia.get(f"{JOBS}?key=nobody").content

    def test_the_last_day_is_looked_at_unless_somebody_says_else_but_what_waits_is_found_however_old(self, acme, mia):
        old, new = add(acme.tenant, 3 * 86_400, state="succeeded"), add(acme.tenant, state="succeeded")
        waiting = add(acme.tenant, 3 * 86_400)
        assert found(mia) == [new.pk]
        assert set(found(mia, range="any")) == {old.pk, new.pk, waiting.pk}
        assert found(mia, state="waiting") == [waiting.pk]
        assert b"last 24 hours; times in UTC" in mia.get(JOBS).content

    def test_from_and_to_are_in_the_tenants_time_zone(self, acme, mia):
        acme.tenant.time_zone = "Asia/Kathmandu"
        acme.tenant.save()
        noon = dt.datetime(2026, 1, 1, 6, 15, tzinfo=dt.UTC)  # 12:00 there
        job = add(acme.tenant, submitted_at=noon)
        add(acme.tenant, submitted_at=noon - dt.timedelta(minutes=1))
        assert found(mia, **{"from": "2026-01-01T12:00", "to": "2026-01-01T12:01"}) == [job.pk]
        assert b"Asia/Kathmandu" in mia.get(f"{JOBS}?from=2026-01-01T12:00").content

    def test_the_id_of_a_job_leads_to_its_page(self, acme, mia):
        job = add(acme.tenant, 9 * 86_400)
        assert mia.get(f"{JOBS}?q={job.pk}").headers["Location"] == f"{JOBS}/{job.pk}"
        assert mia.get(f"{JOBS}?q={job.pk}", headers={"HX-Request": "true"}).headers["HX-Redirect"] == f"{JOBS}/{job.pk}"

    def test_empty_fields_of_the_form_go_out_of_the_address(self, acme, mia):
        assert mia.get(f"{JOBS}?q=&state=&user=ada&model=").headers["Location"] == f"{JOBS}?user=ada"
        part = mia.get(f"{JOBS}?q=&state=&user=ada", headers={"HX-Request": "true"})
        assert part.headers["HX-Push-Url"] == f"{JOBS}?user=ada"

    @pytest.mark.parametrize(
        "given", ["state=zz", "lane=3", "run=7", "label=x", "range=1y", "from=x", "zone=Mars", "cursor=x", "user=%00", "q=%00"]
    )
    def test_what_cannot_be_read_is_said_and_nothing_is_looked_for(self, acme, mia, given):
        response = mia.get(f"{JOBS}?{given}")
        assert response.status_code == 400
        assert len(response.context["asked"].faults) == 1
        assert not response.context["panel"].lines

    def test_what_ended_badly_is_summed_by_code_and_model_and_leads_to_its_jobs(self, acme, mia, olga):
        jobs = [add(acme.tenant, state="failed", error_code="timeout") for _ in range(2)]
        add(acme.tenant, state="cancelled")
        add(acme.tenant, 9 * 86_400, state="failed", error_code="timeout")
        add(add_tenant("globex").tenant, state="failed", error_code="secret")
        groups = shown(mia).groups
        assert [(one.what, one.model, one.jobs) for one in groups] == [("timeout", CHAT_MODEL, 2), ("cancelled", CHAT_MODEL, 1)]
        assert {line.id for line in mia.get(f"{JOBS}{groups[0].address}").context["panel"].lines} == {job.pk for job in jobs}
        assert {one.what for one in shown(olga).groups} == {"timeout", "cancelled", "secret"}


class TestPages:
    def test_all_jobs_come_once_newest_first_and_back_again_however_many_are_added(self, acme, mia, monkeypatch):
        monkeypatch.setattr("dashboard.queries.jobs.PAGE", 2)
        begin = timezone.now() - dt.timedelta(seconds=100)
        jobs = [add(acme.tenant, state="succeeded", submitted_at=begin + dt.timedelta(seconds=n // 3)) for n in range(6)]
        wanted = [job.pk for job in sorted(jobs, key=lambda job: (job.submitted_at, job.pk), reverse=True)]
        panel, pages = shown(mia), []
        while True:
            pages.append([line.id for line in panel.lines])
            add(acme.tenant, 0, state="succeeded")
            if not panel.older:
                break
            panel = mia.get(f"{JOBS}{panel.older}").context["panel"]
        assert [pk for page in pages for pk in page] == wanted
        back = mia.get(f"{JOBS}{panel.newer}").context["panel"]
        assert [line.id for line in back.lines] == pages[-2]

    def test_a_search_that_no_index_knows_stops_says_so_and_goes_on_from_there(self, acme, mia, monkeypatch):
        monkeypatch.setattr(search, "MOST_LOOKED_AT", 3)
        rare = [add(acme.tenant, ago, state="succeeded", user="ada" if ago in {200, 900} else "eve") for ago in range(100, 1_000, 100)]
        seen, panel = [], shown(mia, user="ada")
        assert panel.looked_at == 3
        while panel.older:
            seen += [line.id for line in panel.lines]
            response = mia.get(f"{JOBS}{panel.older}")
            panel = response.context["panel"]
        assert [*seen, *(line.id for line in panel.lines)] == [rare[1].pk, rare[8].pk]
        assert b"Looked at 3 jobs and stopped there" in mia.get(f"{JOBS}?user=nobody").content

    def test_of_many_that_wait_the_newest_are_walked(self, acme, mia, monkeypatch):
        monkeypatch.setattr(search, "MOST_GATHERED", 2)
        jobs = [add(acme.tenant, ago) for ago in (10, 20, 30)]
        add(acme.tenant, state="succeeded")
        assert found(mia, state="waiting") == [job.pk for job in jobs]

    @pytest.mark.parametrize(
        "given", [{}, {"state": "waiting"}, {"state": "ended-badly"}, {"user": "ada"}, {"q": "x"}, {"tenant": "acme", "key": "tests"}]
    )
    def test_a_page_costs_few_queries_counts_nothing_and_reads_no_bodies(self, acme, mia, olga, given):
        for state in ("queued", "failed", "succeeded"):
            add(acme.tenant, state=state)
        for client in (mia, olga):
            with CaptureQueriesContext(connection) as queries:
                shown(client, **given)
            told = [query["sql"] for query in queries]
            assert len(told) <= MOST_QUERIES
            assert not [sql for sql in told if "COUNT(*)" in sql or '"request",' in sql or '"result"' in sql]


class TestReach:
    def test_another_tenants_jobs_are_not_found_not_shown_and_not_touched(self, acme, mia):
        other = add_tenant("globex")
        job = add(other.tenant, user="ada", request_id="req-9", idempotency_key="order-9", state="failed")
        for given in ({}, {"user": "ada"}, {"q": "req-9"}, {"q": "order-9"}, {"q": str(job.pk)}, {"tenant": "globex"}, {"state": "failed"}):
            assert not found(mia, range="any", **given)
        for part in ("", "/part", "/request.json", "/answer.json", "/cancel", "/retry"):
            assert mia.get(f"{JOBS}/{job.pk}{part}").status_code == 404
        assert [mia.post(f"{JOBS}/{job.pk}/{verb}").status_code for verb in ("cancel", "retry")] == [404, 404]
        assert Job.objects.get(pk=job.pk).state == "failed"

    def test_who_belongs_to_two_tenants_sees_one_at_a_time(self, acme):
        globex = add_tenant("globex").tenant
        mine, others = add(acme.tenant), add(globex)
        both = person("ben", acme.tenant, globex)
        assert (found(both), found(both, tenant="globex")) == ([mine.pk], [others.pk])

    def test_an_operator_sees_all_and_one_tenants_alone(self, acme, olga):
        mine, others = add(acme.tenant, 20), add(add_tenant("globex").tenant, 10)
        assert (found(olga), found(olga, tenant="acme")) == ([others.pk, mine.pk], [mine.pk])
        assert found(olga, tenant="nobody") == []


class TestOneJob:
    def test_a_member_reads_what_was_asked_and_answered_and_none_of_it_as_html(self, acme, mia):
        answer = {"choices": [{"message": {"role": "assistant", "content": f"no {SECRET}"}}], "usage": {}}
        job = add(acme.tenant, state="succeeded", result=json.dumps(answer), latency_ms=1_300, queue_ms=252_000, nano_usd=12_300_000)
        page = mia.get(f"{JOBS}/{job.pk}").content.decode()
        assert page.count("canary-51c3") == 2
        assert SECRET not in page
        assert "Succeeded in 1.3 s after waiting 4 min 12 s; cost $0.0123." in page
        whole = mia.get(f"{JOBS}/{job.pk}/answer.json")
        assert (whole.json(), whole.headers["Content-Type"]) == (answer, "application/json")
        assert whole.headers["Content-Disposition"].startswith("attachment")

    def test_a_viewer_sees_figures_and_no_contents(self, acme):
        vic = person("vic", acme.tenant, role=MemberRole.VIEWER)
        job = add(acme.tenant, state="failed", result='{"x": "canary-51c3"}', error_code="timeout")
        for part in ("", "/part"):
            page = vic.get(f"{JOBS}/{job.pk}{part}").content.decode()
            assert "canary" not in page
            assert "Failed: timeout" in page
            assert "/cancel" not in page
        assert "Your role shows figures, not contents" in vic.get(f"{JOBS}/{job.pk}").content.decode()
        assert [vic.get(f"{JOBS}/{job.pk}/{name}.json").status_code for name in ("request", "answer")] == [404, 404]
        assert [vic.post(f"{JOBS}/{job.pk}/{verb}").status_code for verb in ("cancel", "retry")] == [403, 403]
        assert Job.objects.get(pk=job.pk).state == "failed"

    def test_a_body_that_is_too_long_is_cut_and_is_whole_as_a_file(self, acme, mia):
        text = json.dumps({"messages": [{"role": "user", "content": "ä" * 150_000}]}, ensure_ascii=False)
        job = add(acme.tenant, request=text)
        page = mia.get(f"{JOBS}/{job.pk}").content.decode()
        assert "The first 100,000 characters" in page
        assert len(page) < 130_000
        assert mia.get(f"{JOBS}/{job.pk}/request.json").content.decode() == text

    @pytest.mark.parametrize(
        "body",
        ["", "[1]", "{", '{"messages": 7}', '{"messages": [7, {"role": 1, "content": [{}]}], "n": NaN}', "[" * 9_000, '{"input": [[1]]}'],
    )
    def test_a_body_may_be_anything(self, acme, mia, body):
        job = add(acme.tenant, state="succeeded", request=body, result=body)
        assert mia.get(f"{JOBS}/{job.pk}").status_code == 200

    def test_a_job_that_goes_on_is_asked_for_again_until_it_ends_and_then_brings_its_answer(self, acme, mia):
        job = add(acme.tenant)
        part = f"{JOBS}/{job.pk}/part"
        live = mia.get(part).content.decode()
        assert f'hx-get="{part}"' in live
        assert 'hx-trigger="every 2s"' in live
        Job.objects.filter(pk=job.pk).update(
            state="succeeded", finished_at=timezone.now(), result='{"choices": [{"message": {"content": "it is 42"}}]}'
        )
        ended = mia.get(part).content.decode()
        assert "hx-trigger" not in ended
        assert re.search(r'id="answer" hx-swap-oob="true".*it is 42', ended, re.DOTALL)

    def test_a_waiting_job_is_shown_where_the_gate_does_not_answer(self, acme, mia):
        job = add(acme.tenant)
        assert "The gate does not answer just now" in mia.get(f"{JOBS}/{job.pk}").content.decode()


class TestVerbs:
    def test_a_member_cancels_a_waiting_job_once_and_its_event_names_them(self, acme, mia):
        job = add(acme.tenant)
        assert b"It ends at once" in mia.get(f"{JOBS}/{job.pk}/cancel").content
        page = mia.post(f"{JOBS}/{job.pk}/cancel", follow=True).content.decode()
        assert "The job is cancelled." in page
        assert "Cancelled by user mia while it waited." in page
        assert "had ended already, it is cancelled" in mia.post(f"{JOBS}/{job.pk}/cancel", follow=True).content.decode()
        assert list(JobEvent.objects.filter(job=job, kind="cancelled").values_list("detail", flat=True)) == [{"by": "user mia"}]
        assert Job.objects.get(pk=job.pk).state == "cancelled"

    def test_who_asks_a_running_job_to_end_stands_in_its_events_once(self, acme, mia):
        job = add(acme.tenant, state="running", holder="w", attempt=1, started_at=timezone.now())
        for _ in range(2):
            page = mia.post(f"{JOBS}/{job.pk}/cancel", follow=True).content.decode()
            assert "The job is asked to end" in page
        assert list(JobEvent.objects.filter(job=job, kind="cancel_requested").values_list("detail", flat=True)) == [{"by": "user mia"}]
        assert Job.objects.get(pk=job.pk).cancel_requested
        assert "Cancel…" not in page

    def test_a_failed_job_is_tried_again_once_and_its_event_names_who_asked(self, acme, mia):
        job = add(acme.tenant, state="failed", error_code="timeout")
        for wanted in ("The job waits again.", "goes on already: it is queued"):
            assert wanted in mia.post(f"{JOBS}/{job.pk}/retry", follow=True).content.decode()
        assert list(JobEvent.objects.filter(job=job, kind="resubmitted").values_list("detail", flat=True)) == [{"by": "user mia"}]
        assert Job.objects.get(pk=job.pk).state == "queued"

    def test_what_cannot_be_tried_again_is_said_and_stays_as_it_is(self, acme, mia):
        job = add(acme.tenant, state="failed", model="gone")
        assert "The job was not tried again: there is no model" in mia.post(f"{JOBS}/{job.pk}/retry", follow=True).content.decode()
        assert Job.objects.get(pk=job.pk).state == "failed"

    def test_another_site_cannot_cancel_in_somebodys_name(self, acme, mia):
        job = add(acme.tenant)
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = mia.cookies
        assert strict.post(f"{JOBS}/{job.pk}/cancel").status_code == 403
        assert Job.objects.get(pk=job.pk).state == "queued"

    def test_an_operator_is_not_named_to_a_tenant(self, acme, mia, olga):
        job = add(acme.tenant)
        assert "Cancelled by user olga" in olga.post(f"{JOBS}/{job.pk}/cancel", follow=True).content.decode()
        assert "Cancelled by an operator" in mia.get(f"{JOBS}/{job.pk}").content.decode()


class TestFailures:
    def failed(self, tenant, count, message="no answer", code="timeout", **columns):
        told = {"error_code": code, "error_message": message, "fingerprint": fingerprint_of(code, message)}
        return [add(tenant, state=State.FAILED, **{**told, **columns}) for _ in range(count)]

    def test_what_failed_alike_is_one_line_and_leads_to_its_jobs_and_to_a_retry(self, acme, mia):
        jobs = self.failed(acme.tenant, 2)
        self.failed(acme.tenant, 1, SECRET, "auth")
        page = mia.get("/dashboard/failures")
        panel = page.context["panel"]
        assert [(line.error, line.jobs) for line in panel.lines] in ([("auth", "1"), ("timeout", "2")], [("timeout", "2"), ("auth", "1")])
        assert SECRET not in page.content.decode()
        timeouts = next(line for line in panel.lines if line.error == "timeout")
        listed = mia.get(f"{JOBS}{timeouts.address}").context["panel"].lines
        assert {line.id for line in listed} == {job.pk for job in jobs}
        retry = f"/dashboard/failures/acme/{timeouts.fingerprint}/retry"
        asked = mia.get(retry)
        assert len(asked.context["choice"].ids) == 2
        assert not JobEvent.objects.filter(kind="resubmitted").exists()
        as_of = re.search(r'name="as_of" value="([^"]+)"', asked.content.decode())[1]
        told = [str(one) for one in mia.post(retry, {"as_of": as_of}, follow=True).context["messages"]]
        assert told == ["2 jobs waiting again."]
        assert JobEvent.objects.filter(kind="resubmitted", detail__by="user mia").count() == 2
        told = [str(one) for one in mia.post(retry, {"as_of": as_of}, follow=True).context["messages"]]
        assert told == ["There was nothing left to do: all of them had moved on already."]

    def test_a_viewer_cannot_retry_and_another_tenants_groups_are_not_there(self, acme, mia):
        (job,) = self.failed(add_tenant("globex").tenant, 1)
        (own,) = self.failed(acme.tenant, 1)
        assert [line.jobs for line in mia.get("/dashboard/failures").context["panel"].lines] == ["1"]
        assert "not yours" in mia.get("/dashboard/failures?tenant=globex").content.decode()
        assert mia.post(f"/dashboard/failures/globex/{job.fingerprint}/retry").status_code == 404
        viewer = person("vic", acme.tenant, role=MemberRole.VIEWER)
        assert not viewer.get("/dashboard/failures").context["panel"].lines[0].may_retry
        assert viewer.post(f"/dashboard/failures/acme/{own.fingerprint}/retry").status_code == 403

    def test_it_asks_few_statements_and_an_operator_sees_whose_they_are(self, acme, olga):
        for number in range(20):
            self.failed(acme.tenant, 1, code=f"code-{number}")
        self.failed(add_tenant("globex").tenant, 1)
        with CaptureQueriesContext(connection) as asked:
            panel = olga.get("/dashboard/failures").context["panel"]
        assert len(asked) <= MOST_QUERIES
        assert ({line.tenant for line in panel.lines}, panel.has_tenants) == ({"acme", "globex"}, True)


class TestRequeueAndLane:
    def test_a_job_is_put_in_line_and_moved_from_its_page_in_ones_name(self, acme, mia):
        job = add(acme.tenant, state=State.SCHEDULED)
        page = mia.get(f"{JOBS}/{job.pk}").content.decode()
        assert 'id="requeue"' in page
        assert 'id="lane"' in page
        assert b"To which lane?" in mia.get(f"{JOBS}/{job.pk}/lane").content
        assert mia.post(f"{JOBS}/{job.pk}/lane", {"lane": "low"}).status_code == 302
        assert mia.post(f"{JOBS}/{job.pk}/lane", {"lane": "express"}).status_code == 302
        assert b"goes in line now" in mia.get(f"{JOBS}/{job.pk}/requeue").content
        assert mia.post(f"{JOBS}/{job.pk}/requeue").status_code == 302
        job.refresh_from_db()
        assert (job.state, job.lane) == (State.QUEUED, Lane.LOW)
        steps = [step.title for step in mia.get(f"{JOBS}/{job.pk}").context["panel"].steps]
        assert "Moved from lane normal to low by user mia" in " ".join(steps)
        assert "Put in line before its time by user mia" in " ".join(steps)
        assert "on lane normal" in mia.get(f"{JOBS}/{job.pk}").context["panel"].steps[0].lines[0]

    def test_what_cannot_be_put_back_says_why_and_a_viewer_cannot(self, acme, mia):
        job = add(acme.tenant, state=State.RUNNING, delivery="at_most_once", attempt=1)
        told = mia.post(f"{JOBS}/{job.pk}/requeue", follow=True).content.decode()
        assert "may never be sent twice" in told
        assert 'id="requeue"' not in told
        viewer = person("vic", acme.tenant, role=MemberRole.VIEWER)
        assert [viewer.post(f"{JOBS}/{job.pk}/{verb}").status_code for verb in ("requeue", "lane")] == [403, 403]
