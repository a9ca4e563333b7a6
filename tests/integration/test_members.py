"""Who belongs to a tenant, who says so, and how they first come in: by REST, in the shell, by a link."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

from __future__ import annotations

import io
import json
import re

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client

from rateguard.engine.errors import InvalidRequest, NotAllowed
from tenants.access import access_of
from tenants.changes.actor import Actor
from tenants.changes.members import add_member, change_member, make_operator, remove_member
from tenants.models import AuditEntry, Member
from tests.api import problem_of
from tests.managing import own  # noqa: F401
from tests.tenancy import acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.usefixtures("redis_url")

OPERATOR = Actor("shell root")


def somebody(name, tenant=None, role=None):
    user = get_user_model().objects.create_user(name)
    if tenant is not None:
        Member.objects.create(tenant=tenant, user=user, role=role)
    return user


def as_person(name, role, tenant):
    return access_of(somebody(name, tenant, role)).actor(tenant)


# ---- who says so


def test_owners_say_who_belongs_to_a_tenant_and_admins_do_not(acme):
    owner, admin = as_person("olga", "owner", acme.tenant), as_person("adam", "admin", acme.tenant)
    made = add_member(owner, acme.tenant, username="new", role="owner")
    change_member(owner, made, role="viewer")
    for refused in (
        lambda: add_member(admin, acme.tenant, username="x", role="viewer"),
        lambda: change_member(admin, made, role="member"),
        lambda: remove_member(admin, made),
    ):
        with pytest.raises(NotAllowed, match="owners of a tenant say"):
            refused()
    remove_member(owner, made)
    assert {entry.by for entry in AuditEntry.objects.filter(kind="member")} == {"user olga"}


def test_an_owner_reaches_no_other_tenant_and_no_person_who_is_known_already(acme):
    other, owner = add_tenant("globex").tenant, as_person("olga", "owner", acme.tenant)
    theirs = Member.objects.create(tenant=other, user=somebody("gert"), role="viewer")
    for refused in (
        lambda: add_member(owner, other, username="x"),
        lambda: change_member(owner, theirs, role="owner"),
        lambda: remove_member(owner, theirs),
        lambda: add_member(owner, acme.tenant, username="gert"),
    ):
        with pytest.raises(InvalidRequest):
            refused()
    assert Member.objects.count() == 2


def test_the_last_owner_leaves_by_an_operator_alone(acme):
    owner = as_person("olga", "owner", acme.tenant)
    last = Member.objects.get(user__username="olga")
    for refused in (lambda: remove_member(owner, last), lambda: change_member(owner, last, role="admin")):
        with pytest.raises(NotAllowed, match="last owner"):
            refused()
    change_member(owner, last, role="owner")
    second = add_member(owner, acme.tenant, username="otto", role="owner")
    remove_member(owner, last)
    remove_member(OPERATOR, second)
    assert not Member.objects.exists()


def test_a_key_that_manages_looks_after_members_but_not_after_owners(own, acme):
    made = own.made("members", {"username": "bob", "role": "admin"})
    assert own.ask("patch", made["at"], {"role": "viewer"}).json()["role"] == "viewer"
    owner = Member.objects.create(tenant=acme.tenant, user=somebody("olga"), role="owner")
    problem_of(own.ask("post", "members", {"username": "x", "role": "owner"}), 403, "forbidden")
    problem_of(own.ask("patch", made["at"], {"role": "owner"}), 403, "forbidden")
    problem_of(own.ask("patch", f"members/{owner.pk}", {"role": "viewer"}), 403, "forbidden")
    problem_of(own.ask("delete", f"members/{owner.pk}"), 403, "forbidden")
    assert own.ask("delete", made["at"]).status_code == 204
    assert [row["role"] for row in own.rows("members?role=owner")] == ["owner"]


def test_an_operator_is_made_once_and_never_of_somebody_who_is_none(acme):
    made = make_operator(OPERATOR, "root")
    assert make_operator(OPERATOR, "root") == made
    assert access_of(made).is_operator
    assert not made.has_usable_password()
    assert [(entry.kind, entry.name) for entry in AuditEntry.objects.all()] == [("operator", "root")]
    somebody("ada", acme.tenant, "owner")
    with pytest.raises(InvalidRequest, match="choose another name"):
        make_operator(OPERATOR, "ada")
    with pytest.raises(NotAllowed):
        make_operator(Actor("user olga", acme.tenant), "more")


# ---- the shell


def told(*words):
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().rstrip("\n")


def refused(*words):
    with pytest.raises(CommandError) as error:
        told(*words)
    return str(error.value)


def test_members_are_added_changed_and_removed_in_the_shell(acme):
    assert told("member", "list") == "no members here: manage.py member add NAME --tenant NAME"
    assert told("member", "add", "ada", "--tenant", "acme") == "ada is a member of acme; a link to sign in: manage.py signin ada"
    assert told("member", "set", "ada", "--tenant", "acme", "--role", "owner") == "ada is an owner of acme"
    shown = json.loads(told("member", "list", "--tenant", "acme", "--json"))["data"]
    assert [(row["username"], row["role"]) for row in shown] == [("ada", "owner")]
    assert "members are: ada" in refused("member", "remove", "bob", "--tenant", "acme")
    assert "there are: acme" in refused("member", "add", "bob", "--tenant", "nobody")
    assert told("member", "remove", "ada", "--tenant", "acme") == "ada belongs to acme no longer; the user stays"
    assert {entry.by.split()[0] for entry in AuditEntry.objects.filter(kind="member")} == {"shell"}


def test_the_shell_prints_a_link_that_signs_in_once(acme):
    somebody("ada", acme.tenant, "viewer")
    link = told("signin", "ada", "--url", "https://llm.example.com/").splitlines()[0]
    path = link.removeprefix("https://llm.example.com")
    assert re.fullmatch(r"/dashboard/signin/[\w-]{22}", path)
    assert [Client().get(path).status_code for _ in range(2)] == [302, 410]
    shown = json.loads(told("signin", "ada", "--for", "2h", "--json"))
    assert (shown["username"], shown["good_for_s"], shown["url"].startswith("http://127.0.0.1:8000/dashboard/")) == ("ada", 7_200, True)


def test_an_operator_is_made_with_the_link_and_lands_on_the_first_page(acme):
    assert "member add root --tenant TENANT" in refused("signin", "root")
    shown = json.loads(told("signin", "root", "--create-operator", "--json"))
    client = Client()
    response = client.get(shown["url"].removeprefix("http://127.0.0.1:8000"))
    assert response.headers["Location"] == "/dashboard/"
    assert access_of(get_user_model().objects.get(username="root")).is_operator


def test_what_keeps_a_link_from_being_made_is_told(acme, settings):
    somebody("gone").delete()
    get_user_model().objects.create_user("away", is_active=False)
    somebody("ada", acme.tenant, "viewer")
    assert "there are: away, ada" in refused("signin", "bob")
    assert "may not sign in" in refused("signin", "away")
    assert "choose another name" in refused("signin", "ada", "--create-operator")
    assert "at most 7 days" in refused("signin", "ada", "--for", "8d")
    assert "is no address" in refused("signin", "ada", "--url", "llm.example.com")
    settings.RATEGUARD_URL = ""
    assert "RATEGUARD_URL" in refused("signin", "ada")
