"""Keys by REST: none makes or changes one that may do more than itself; rotation has an overlap."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt

import pytest
from django.utils import timezone

from tenants.keys import find_key, issue_key
from tenants.models import (
    ApiKey,
    AuditEntry,
)
from tests.api import problem_of
from tests.managing import ALL, Manager, own  # noqa: F401
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme  # noqa: F401

pytestmark = pytest.mark.django_db

# ---- keys


@pytest.fixture
def narrow(acme):
    """A key of acme's that manages within bounds, and its secret's holder."""
    settings = {"permissions": ["read", "manage"], "allowed_models": [CHAT_MODEL], "highest_lane": 3, "bound": {"team": "ml"}}
    settings["expires_at"] = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    return Manager(issue_key(acme.tenant, "narrow", **settings)[1])


_WITHIN = {
    "name": "x",
    "permissions": ["read"],
    "allowed_models": [CHAT_MODEL],
    "highest_lane": "low",
    "bound": {"team": "ml", "user": "a"},
    "expires_at": "2040-01-01T00:00:00Z",
}


WIDER = [
    ({"permissions": ["read", "submit"]}, "/permissions"),
    ({"allowed_models": []}, "/allowed_models"),
    ({"allowed_models": [CHAT_MODEL, EMBEDDING_MODEL]}, "/allowed_models"),
    ({"highest_lane": "high"}, "/highest_lane"),
    ({"highest_lane": None}, "/highest_lane"),
    ({"bound": {"user": "a"}}, "/bound"),
    ({"bound": {"team": "sales"}}, "/bound"),
    ({"expires_at": None}, "/expires_at"),
    ({"expires_at": "2040-01-01T00:00:01Z"}, "/expires_at"),
]


def test_a_key_makes_none_that_may_do_more_than_itself(narrow):
    made = narrow.made("keys", _WITHIN)
    for wider, pointer in WIDER:
        for method, path, body in (("post", "keys", {**_WITHIN, **wider}), ("patch", made["at"], wider)):
            assert problem_of(narrow.ask(method, path, body), 403, "forbidden")["errors"][0]["pointer"] == pointer


def test_a_key_leaves_alone_those_that_may_do_more_and_what_is_beyond_its_bound(narrow, acme):
    wide = issue_key(acme.tenant, "wide", permissions=ALL)[0]
    for method, path, body in (
        ("patch", f"keys/{wide.pk}", {"name": "mine"}),
        ("post", f"keys/{wide.pk}/rotate", {}),
        ("delete", f"keys/{wide.pk}", None),
        ("post", "limits", {"scope_kind": "team", "scope": "ml", "limit": "9/min"}),
        ("post", "members", {"username": "x", "role": "admin"}),
    ):
        problem_of(narrow.ask(method, path, body), 403, "forbidden")
    assert not AuditEntry.objects.exists()


def test_a_key_that_expires_may_revoke_one_that_does_not_but_not_take_its_secret(acme):
    brief = Manager(issue_key(acme.tenant, "brief", permissions=ALL, expires_at=timezone.now() + dt.timedelta(days=1))[1])
    problem_of(brief.ask("post", f"keys/{acme.key.pk}/rotate", {}), 403, "forbidden")
    assert brief.ask("patch", f"keys/{acme.key.pk}", {"name": "old"}).status_code == 200
    assert brief.ask("delete", f"keys/{acme.key.pk}").status_code == 204


def test_both_secrets_of_a_rotated_key_work_until_the_overlap_is_over(own, acme):
    made = own.made("keys", {"name": "ci", "permissions": ["read"]})
    limit = own.made("limits", {"scope_kind": "key", "scope": str(made["id"]), "limit": "9/min"})
    rotated = own.ask("post", f"keys/{made['id']}/rotate", {"overlap": "1h"})
    assert rotated.status_code == 200, rotated.json()
    assert rotated.headers["Cache-Control"] == "no-store"
    new = rotated.json()["secret"]
    assert [find_key(secret).pk for secret in (made["secret"], new)] == [made["id"]] * 2
    left = dt.datetime.fromisoformat(rotated.json()["old_secret_until"]) - timezone.now()
    assert dt.timedelta(minutes=55) < left <= dt.timedelta(minutes=65)
    ApiKey.objects.filter(pk=made["id"]).update(previous_expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert find_key(made["secret"]) is None
    assert find_key(new).pk == made["id"]
    assert own.ask("get", limit["at"]).json()["scope"] == str(made["id"])
    newest = own.ask("post", f"keys/{made['id']}/rotate", {"overlap_s": 0}).json()["secret"]
    assert find_key(new) is None
    assert find_key(newest) is not None


@pytest.mark.parametrize("body", [{"overlap": "soon"}, {"overlap": "1h", "overlap_s": 5}, {"overlap": "99 day"}, {"overlap_s": 2_592_001}])
def test_an_overlap_is_a_time_of_at_most_thirty_days(own, acme, body):
    problem_of(own.ask("post", f"keys/{acme.key.pk}/rotate", body), 400, "invalid_field")


def test_a_revoked_or_expired_key_gets_no_new_secret(own, acme):
    assert own.ask("delete", f"keys/{acme.key.pk}").status_code == 204
    assert find_key(acme.secret) is None
    assert own.ask("delete", f"keys/{acme.key.pk}").status_code == 204
    past = issue_key(acme.tenant, "past", expires_at=timezone.now() - dt.timedelta(days=1))[0]
    for key in (acme.key, past):
        problem_of(own.ask("post", f"keys/{key.pk}/rotate", {}), 409, "key_revoked")
    assert {row["name"] for row in own.rows("keys?state=active")} == {"boss"}
    assert {row["name"] for row in own.rows("keys?state=expired")} == {"past"}
