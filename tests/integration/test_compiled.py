"""A query compiled once gives what the query gives."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rateguard.jobs.models import Job
from tenants.compiled import Compiled
from tenants.models import Tenant
from tests.api import Api
from tests.tenancy import CHAT_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
JOBS = Compiled(
    Job,
    lambda tenant, job, since: Job.objects.select_related("tenant").filter(tenant=tenant, pk=job, submitted_at__gt=since),
    tenant=(Tenant._meta.pk, -1),
    job=(Job._meta.pk, uuid.UUID(int=1)),
    since=(Job._meta.get_field("submitted_at"), dt.datetime(2001, 1, 1, tzinfo=dt.UTC)),
)


def columns(row):
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_a_compiled_query_gives_the_very_rows_that_it_would_give_itself(acme):
    job = {"labels": {"a": "b"}, "metadata": {"n": [1.5]}, "deadline": "2099-01-01T00:00:00Z"}
    told = Api(acme.secret).submit({**HELLO, "job": job}).json()
    values = {"tenant": acme.tenant.pk, "job": uuid.UUID(told["id"]), "since": timezone.now() - dt.timedelta(hours=1)}
    found, expected = JOBS.one(**values), Job.objects.select_related("tenant").get(pk=told["id"])
    assert columns(found) == columns(expected)
    assert (type(found.submitted_at), type(found.labels), found._state.adding) == (dt.datetime, dict, False)
    with CaptureQueriesContext(connection) as queries:
        assert columns(found.tenant) == columns(expected.tenant)
        assert JOBS.one(**values) is not None
    assert len(queries) == 1
    for other in ({"tenant": add_tenant("globex").tenant.pk}, {"job": uuid.uuid4()}, {"since": timezone.now() + dt.timedelta(hours=1)}):
        assert JOBS.one(**{**values, **other}) is None
