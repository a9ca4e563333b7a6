"""How PostgreSQL goes about the admin's lists: none walks over a whole large table, and none sorts one."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rateguard.admin.machine import listing
from rateguard.jobs.insight import search
from rateguard.jobs.models import Attempt, Job, JobEvent
from tenants.models import AuditEntry, GateEvent, LedgerEntry, Run, Tenant
from tests.integration.test_admin_machine import LISTS, fill, list_of, signed_in

pytestmark = [pytest.mark.postgres, pytest.mark.long]

ROWS = 50_000
TENANTS = 50
LARGE = (Job, Attempt, JobEvent, LedgerEntry, AuditEntry, GateEvent, Run)
ASKED = [
    {},
    {"tenant": "t7"},
    {"tenant": "t7", "range": "24h"},
    {"range": "7d"},
    {"tenant": "t7", "from": "2026-01-01", "to": "2099-01-01"},
    {"model": "gpt"},
    {"state": "failed"},
    {"state": "queued"},
    {"state": "running", "tenant": "t7"},
    {"state": "cancelled", "lane": "critical"},
    {"kind": "correction"},
    {"kind": "charge", "tenant": "t7"},
    {"deployment": "nowhere"},
    {"q": "01936f2e-5c1a"},
    {"q": "some-request"},
]


def multiply(row, **other):
    """Many rows like this one. other: SQL by column, in which n counts the rows."""
    fields = [field for field in row._meta.concrete_fields if field.get_internal_type() != "BigAutoField"]
    values = ", ".join(other.get(field.column, f'one."{field.column}"') for field in fields)
    columns, table = ", ".join(f'"{field.column}"' for field in fields), row._meta.db_table
    many = f"generate_series(1, {ROWS}) n"
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} one, {many} WHERE one.id = '{row.pk}'")
        cursor.execute(f"ANALYZE {table}")


@pytest.fixture
def large(db):
    """Fifty thousand rows of everything, of fifty tenants, over fifty thousand minutes."""
    tenants = [Tenant.objects.create(name=f"t{number}") for number in range(TENANTS)]
    job = fill(tenants[0])
    of, at = f"{tenants[0].pk} + n % {TENANTS}", "now() - n * interval '1 minute'"
    states = "CASE WHEN n % 100 = 0 THEN 'failed' WHEN n % 5000 = 1 THEN 'cancelled' WHEN n % 5000 = 2 THEN 'queued' ELSE 'succeeded' END"
    ended = f"CASE WHEN n % 5000 = 2 THEN NULL ELSE {at} END"
    multiply(job, id="gen_random_uuid()", tenant_id=of, submitted_at=at, state=states, finished_at=ended, idempotency_key="'k' || n")
    multiply(Attempt.objects.get(), reservation_id="gen_random_uuid()", tenant_id=of, started_at=at, finished_at=at)
    multiply(JobEvent.objects.get(), at=at)
    multiply(LedgerEntry.objects.get(), reservation_id="gen_random_uuid()", tenant_id=of, created_at=at)
    multiply(AuditEntry.objects.get(), tenant_id=of, at=at)
    multiply(GateEvent.objects.get(), notice="'notice ' || n", tenant_id=of, at=at)
    multiply(Run.objects.get(), id="gen_random_uuid()", tenant_id=of, created_at=at)


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def whole_tables(sql):
    """What a statement reads or sorts as a whole, of the large tables."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        (told,) = cursor.fetchone()
    (top,) = json.loads(told) if isinstance(told, str) else told
    large = {model._meta.db_table for model in LARGE}
    for node in nodes(top["Plan"]):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in large:
            yield f"Seq Scan on {node['Relation Name']}"
        if node["Node Type"] == "Sort" and node["Plan Rows"] > ROWS / 10:
            yield f"Sort of {node['Plan Rows']} rows"


def test_no_list_reads_or_sorts_a_whole_table(large, monkeypatch):
    for place, name in ((listing, "MOST_LOOKED_AT"), (search, "MOST_LOOKED_AT"), (search, "MOST_GATHERED")):
        monkeypatch.setattr(place, name, ROWS // 50)  # as 20,000 are to a million
    boss, ann = signed_in("boss"), signed_in("ann", t7="admin", t9="viewer")
    found = {}
    for name in LISTS:
        for client in (boss, ann):
            for asked in ASKED:
                with CaptureQueriesContext(connection) as seen:
                    client.get(list_of(name, **asked))
                for query in seen:
                    if query["sql"].startswith("SELECT"):
                        found |= {(name, str(asked), client is boss, what): query["sql"] for what in whole_tables(query["sql"])}
    assert not found, "\n".join(f"{key}\n    {sql}" for key, sql in list(found.items())[:5])
