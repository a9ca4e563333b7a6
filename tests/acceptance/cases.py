"""Generated requests for the operations of the schema: what they may name, how they are sent, what is checked of the answers."""

from __future__ import annotations

import collections
import copy
import itertools

import hypothesis
import requests
import schemathesis
from django.apps import apps
from django.db import connection
from hypothesis import HealthCheck, Phase, Verbosity
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from rateguard.api.reading import RUN_HEADER
from rateguard.jobs.controls.pauses import pause
from rateguard.jobs.controls.runs import start_run
from tenants.changes.actor import Actor
from tenants.changes.limits import create_limit
from tenants.changes.members import add_member
from tenants.changes.scopes import scope_for
from tenants.keys import issue_key
from tenants.models import ApiKey, ConfigVersion, Tenant

GOOD, BAD = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
EACH, MORE = 6, 50
OFTEN = {"submit_job", "estimate_job", "list_jobs", "get_usage"}
"""Operations that read the most of what they are given."""
FAR = 987_654_321
"""The number of the tenant and key that ask: no generated number hits them."""


def snapshot():
    """How many rows of each kind there are, and how often the configuration changed."""
    tables = {model._meta.label: model._meta.db_table for model in apps.get_models()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f'(SELECT COUNT(*) FROM "{table}")' for table in tables.values()))
        counts = cursor.fetchone()
    return dict(zip(tables, counts, strict=True)) | {"version": ConfigVersion.current()}


def closed(schema):
    """The schema with every object of an answer closed: a field that is not described is a fault."""
    made = copy.deepcopy(schema)
    for name, shape in made["components"]["schemas"].items():
        if not name.endswith("Request") and "properties" in shape:
            shape.setdefault("additionalProperties", False)
    for operation in (one for path in made["paths"].values() for one in path.values()):
        operation.pop("security", None)  # a case without a key is a 401 and tells nothing more
        for parameter in operation.get("parameters", ()):
            if parameter["name"] == "wait":
                parameter["schema"]["maximum"] = 0  # nobody works here: a wait would last its time
    return made


class World:
    """A line with one of everything, the operator who asks, and what an address may name."""

    def __init__(self, line):
        budget = line.budget(10**15)
        actor = Actor("the tests")
        acme = line.acme
        key, _ = issue_key(acme, "to be changed")
        limit = create_limit(actor, scope_for("team", acme, "ml"), "1000/min")
        member = add_member(actor, acme, username="ada", role="viewer", email="ada@example.com")
        mine, self.secret = self._operator()
        jobs = [line.submit(mine, user="ada", labels={"feature": "chat"}) for _ in range(3)]
        run = start_run(mine, name="research")
        self.known = {
            "job_id": str(jobs[0].pk),
            "run_id": str(run.pk),
            "run": str(run.pk),
            "pause_id": pause("lane", "background", None, "", "key x").pk,
            "model": "sim-1",
            "name": "sim-1",
            "kind": "team",
            "deployment": line.deployment.name,
            "account": line.account.name,
            "tenant": acme.name,
            "key": key.pk,
            "limit": limit.pk,
            "budget": budget.pk,
            "member": member.pk,
            "price": line.price.pk,
        }

    @staticmethod
    def _operator():
        operators = Tenant.objects.create(pk=FAR, name="operators-of-the-tests")
        key, secret = issue_key(operators, "all", is_operator=True)
        ApiKey.objects.filter(pk=key.pk).update(id=FAR)
        return operators, secret


class Asker:
    """Sends generated cases, checks the answers, and keeps what was wrong."""

    def __init__(self, world, url):
        self.world, self.url, self.session = world, url, requests.Session()
        self.count, self.statuses = 0, collections.Counter()
        self.wrong = {}
        self.rows = snapshot()

    def ask(self, operation, mode, examples):
        """Send so many cases of an operation; the first fault of each kind is kept."""
        numbers = itertools.count()

        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        def send(case):
            if mode is GOOD and next(numbers) % 3:
                self._name_what_is_there(case)
            self._send(case)

        try:
            send()
        except hypothesis.errors.Unsatisfiable:
            assert mode is BAD  # an operation without parameters takes nothing that is wrong

    def _name_what_is_there(self, case):
        known = self.world.known
        for given in (case.path_parameters, case.query):
            for name in set(given or ()) & set(known):
                given[name] = known[name]
        if RUN_HEADER in (case.headers or {}):
            case.headers[RUN_HEADER] = known["run"]
        if isinstance(case.body, dict) and "model" in case.body and "/manage/" not in case.path:
            case.body["model"] = known["model"]
            if isinstance(case.body.get("job"), dict):
                case.body["job"].pop("run", None)

    def _send(self, case):
        key = {"Authorization": f"Bearer {self.world.secret}"}
        response = case.call(base_url=self.url, session=self.session, headers=key, timeout=30)
        self.count += 1
        self.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._keep(case, failure.title, f"{failure}")
        rows = snapshot()
        if rows != self.rows and (response.status_code >= 400 or case.method == "GET"):
            changed = {name: (self.rows.get(name), count) for name, count in rows.items() if self.rows.get(name) != count}
            self._keep(case, f"wrote with {response.status_code}", f"{changed}\n{response.text[:500]}")
        self.rows = rows

    def _keep(self, case, title, text):
        self.wrong.setdefault((case.operation.label, title), f"{case.as_curl_command()[:1500]}\n{text[:1500]}")


def operations(schema):
    """The operations of a schema, each with the number of its cases of either kind."""
    for found in schemathesis.openapi.from_dict(schema).get_all_operations():
        operation = found.ok()
        yield operation, MORE if operation.definition.raw["operationId"] in OFTEN else EACH
