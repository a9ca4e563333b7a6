"""The list of jobs: newest first, in pages that hold still, by filters, and of the caller's tenant alone."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt
from urllib.parse import quote, urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rateguard.engine.lanes import Lane
from rateguard.jobs.ids import new_id
from rateguard.jobs.models import Job
from tests.api import Api, problem_of
from tests.tenancy import CHAT_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def api(acme):
    return Api(acme.secret)


def add(tenant, **columns):
    ended = {"finished_at": START} if columns.get("state") in {"succeeded", "failed", "cancelled", "expired"} else {}
    row = {
        "tenant": tenant,
        "model": CHAT_MODEL,
        "endpoint": "chat",
        "state": "queued",
        "request": "{}",
        "path": str(tenant.pk),
        **dict.fromkeys(("input_tokens", "output_tokens", "max_output_tokens", "timeout_s", "max_tries"), 1),
    }
    return Job.objects.create(**{**row, **ended, **columns})


def listed(api, **given):
    response = api.get(f"/api/v1/jobs?{urlencode(given, doseq=True)}")
    assert response.status_code == 200, response.content
    return response.json()


def ids(page):
    return [job["id"] for job in page["data"]]


class TestPages:
    def test_all_jobs_come_once_newest_first_however_many_are_added_meanwhile(self, acme, api):
        same = [add(acme.tenant, submitted_at=START) for _ in range(3)]
        jobs = [*same, *(add(acme.tenant, submitted_at=START + dt.timedelta(seconds=n)) for n in range(1, 5))]
        wanted = [str(job.pk) for job in sorted(jobs, key=lambda job: (job.submitted_at, job.pk), reverse=True)]
        page, seen, pages = listed(api, limit=2), [], []
        while True:
            seen += ids(page)
            pages.append(ids(page))
            add(acme.tenant, submitted_at=timezone.now())
            if page["next_cursor"] is None:
                break
            page = listed(api, limit=2, cursor=page["next_cursor"])
        assert seen == wanted
        before = listed(api, limit=2, cursor=page["previous_cursor"])
        assert ids(before) == pages[-2]
        assert ids(listed(api, limit=2, cursor=before["next_cursor"])) == pages[-1]

    def test_the_way_to_newer_ones_ends_at_the_newest(self, acme, api):
        jobs = [add(acme.tenant, submitted_at=START + dt.timedelta(seconds=n)) for n in range(3)]
        first = listed(api, limit=2)
        assert first["previous_cursor"] is None
        last = listed(api, limit=2, cursor=first["next_cursor"])
        newer = listed(api, limit=2, cursor=last["previous_cursor"])
        assert (ids(newer), newer["previous_cursor"]) == ([str(jobs[2].pk), str(jobs[1].pk)], None)

    def test_a_link_leads_on_with_the_same_filters(self, acme, api):
        for n in range(3):
            add(acme.tenant, user="ä b", submitted_at=START + dt.timedelta(seconds=n))
        add(acme.tenant)
        response = api.get(f"/api/v1/jobs?user={quote('ä b')}&limit=2")
        link = response.headers["Link"]
        assert link.endswith('>; rel="next"')
        assert len(api.get(link.partition(">")[0][1:]).json()["data"]) == 1

    @pytest.mark.parametrize("cursor", ["x", "ä", "o" * 101, "AAAA", "bi4xLjI", "o.1.2", quote("\0"), "bi45OTk5OTk5OTk5OTk5OTk5OTk5LjAx"])
    def test_what_no_list_gave_is_no_cursor(self, acme, api, cursor):
        problem_of(api.get(f"/api/v1/jobs?cursor={quote(cursor)}"), 400, "invalid_parameter")

    def test_a_page_costs_a_few_queries_and_reads_no_answers(self, acme, api):
        for _ in range(5):
            add(acme.tenant, state="succeeded", attempt=1, result='{"a": 1}')
        with CaptureQueriesContext(connection) as queries:
            page = listed(api)
        assert len(queries) <= 3  # the key, the jobs, their attempts
        assert not any('"result"' in query["sql"] for query in queries)
        assert all("result" not in job for job in page["data"])
        assert [job["result"] for job in listed(api, include="result")["data"]] == [{"a": 1}] * 5


class TestFilters:
    @pytest.mark.parametrize(
        ("given", "columns"),
        [
            ({"status": "failed,expired"}, {"state": "expired"}),
            ({"status": ["failed", "expired"]}, {"state": "failed"}),
            ({"lane": "high,low"}, {"lane": Lane.LOW}),
            ({"user": "ada "}, {"user": "ada "}),
            ({"team": "ml"}, {"team": "ml"}),
            ({"model": "other"}, {"model": "other"}),
            ({"error": "timeout"}, {"error_code": "timeout"}),
            ({"key": 7}, {"api_key_id": 7}),
            ({"submitted_after": "2099-01-01T00:00:00+01:00"}, {"submitted_at": START.replace(year=2099)}),
            ({"submitted_before": "2026-01-01T00:00:01Z"}, {"submitted_at": START}),
            ({"label": "feature:a:b"}, {"labels": {"feature": "a:b"}}),
            ({"label.fea:\"'$ture": "x"}, {"labels": {"fea:\"'$ture": "x"}}),
            ({"label": ["a:1", "7:x"]}, {"labels": {"a": "1", "7": "x", "b": ""}}),
            ({"label.b": ""}, {"labels": {"b": ""}}),
        ],
        ids=str,
    )
    def test_a_filter_shows_what_it_names(self, acme, api, given, columns):
        add(acme.tenant, labels={"a": "1", "feature": "a"})
        job = add(acme.tenant, **columns)
        assert ids(listed(api, **given)) == [str(job.pk)]

    def test_a_run_shows_its_jobs_and_all_filters_must_hold(self, acme, api):
        run = new_id()
        job = add(acme.tenant, run=run, user="ada")
        add(acme.tenant, run=run)
        assert ids(listed(api, run=str(run), user="ada")) == [str(job.pk)]

    @pytest.mark.parametrize(
        "query",
        [
            "zz=1",
            "status=done",
            "lane=3",
            "user=a&user=b",
            f"user={'x' * 129}",
            "user=%00",
            "run=7",
            "key=x",
            f"key={2**63}",
            "key=0",
            "label=feature",
            "label=:x",
            "label.=x",
            "label.a=%00",
            f"label.a={'x' * 257}",
            "submitted_after=yesterday",
            "submitted_after=2026-01-01T00:00:00",
            "limit=0",
            "limit=201",
            "include=all",
            "&".join(f"label.{n}=x" for n in range(17)),
        ],
    )
    def test_what_is_no_filter_is_refused_by_name(self, acme, api, query):
        problem = problem_of(api.get(f"/api/v1/jobs?{query}"), 400, "invalid_parameter")
        assert query.partition("=")[0].partition(".")[0] in problem["detail"]


def test_another_tenants_jobs_are_never_seen(acme, api):
    other = add_tenant("globex")
    add(other.tenant, user="ada")
    mine = add(acme.tenant, user="ada")
    assert ids(listed(api)) == ids(listed(api, user="ada")) == [str(mine.pk)]
    cursor = listed(Api(other.secret), limit=1)["next_cursor"]
    assert cursor is None
