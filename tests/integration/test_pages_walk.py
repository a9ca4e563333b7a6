"""Every address of the pages and of the admin, as the resolver knows them, walked by those who may not see a tenant: they learn nothing."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from rateguard.jobs.models import Job
from tenants.models import Member, Tenant
from tests.foreign import FOREIGN, JOB, MARKS, NUMBER, PERSON, RUN, make_foreign
from tests.tenancy import acme  # noqa: F401

pytestmark = pytest.mark.usefixtures("redis_url")

ROOTS = ("dashboard/", "admin/")
OPEN = {"dashboard/signin": 200, "dashboard/signin/<str:secret>": 410, "admin/login/": 200}
"""What anybody may open, and what it answers to who is not signed in; every other address asks to sign in."""
ASKING = {"/dashboard/signin", "/admin/login/", "/admin/"}
GUESSED = {
    "tenant": FOREIGN, "name": FOREIGN, "tenant_id": NUMBER, "job": JOB, "run": RUN, "batch": RUN, "key": NUMBER, "api_key": NUMBER,
    "user": "grue-user",
    "team": "grue-team", "deployment": "grue-deployment", "account": "grue-account", "label": "grue=label", "cost_center": "grue-center",
    "scope": NUMBER, "q": FOREIGN, "cursor": NUMBER, "page": NUMBER, "order": "tenant", "zone": "Europe/Berlin",
}  # fmt: skip
"""Questions of another tenant's things, whichever of them a page knows."""
ROLES = ("viewer", "member", "admin", "owner")


@dataclasses.dataclass(frozen=True)
class Address:
    """An address: how the resolver writes it, and filled with what is another tenant's. is_filled: whether it names anything."""

    route: str
    path: str
    is_filled: bool

    @property
    def is_admin(self) -> bool:
        return self.route.startswith("admin/")


def addresses(keys) -> list[Address]:
    """All of them, below ROOTS."""
    found = []
    for route, pattern in _patterns(get_resolver().url_patterns, ""):
        if route.startswith(ROOTS):
            plain = re.sub(r"\(\?P<\w+>(\w+)[^)]*\)|[\^$]|\\Z", r"\1", route)  # what is written as a regular expression
            filled = re.sub(r"<(?:(\w+):)?(\w+)>", lambda part, at=pattern: _value(part[1] or "str", part[2], at, keys), plain)
            found.append(Address(route, f"/{filled}", "<" in plain))
    return found


def _patterns(listed, before: str) -> Iterator[tuple[str, URLPattern]]:
    for one in listed:
        route = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns, route)
        else:
            yield route, one


def _value(converter: str, name: str, pattern: URLPattern, keys) -> str:
    """Another tenant's thing for a part of an address: by its name, by the admin's model, else by its kind."""
    model = next((model for model in keys if (pattern.name or "").startswith(f"{model._meta.label_lower.replace('.', '_')}_")), None)
    if name == "object_id":
        return str(keys.get(model, NUMBER))
    if name == "secret":
        return "no-such-secret"
    if name in GUESSED:
        return str(GUESSED[name])
    return str({"uuid": RUN if "run" in name else JOB, "int": NUMBER}.get(converter, FOREIGN))


@pytest.fixture
def world(acme):
    """Tenant acme, of whom the walkers are, and a foreign one. Gives the foreign rows' keys by model."""
    return make_foreign()


def who(role: str, tenant=None) -> Client:
    """A browser in which somebody is signed in. They may enter the admin, as far as Django's own word for it goes."""
    client = Client(raise_request_exception=False)
    if role == "nobody":
        return client
    user = get_user_model().objects.create(username=f"walker-{uuid.uuid4().hex[:8]}", is_staff=True, is_superuser=role == "operator")
    if role in ROLES:
        Member.objects.create(tenant=tenant, user=user, role=role)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def learned(response, asked: str) -> list[str]:
    """The marks in an answer, its headers too, that who asked did not bring along, now or in the admin's message of the last answer."""
    text = response.content.decode(errors="replace") + "\n".join(f"{name}: {value}" for name, value in response.headers.items())
    text = re.sub(r"with ID “[^”]*” doesn.t exist", "", text)
    return [mark for mark in MARKS if mark in text and mark not in asked]


def is_asked_to_sign_in(response) -> bool:
    """At once, or by a page that asks."""
    is_sent_on = response.status_code in {302, 303}
    return response.status_code == 401 or (is_sent_on and urlsplit(response.headers["Location"]).path in ASKING)


def walked(client: Client, found: list[Address], methods=("get", "post")) -> list[tuple[str, Address, object]]:
    """What each address answers; those that sign out come last."""
    in_order = sorted(found, key=lambda one: "out" in one.path)
    return [(method, one, getattr(client, method)(one.path)) for one in in_order for method in methods]


def test_the_walk_meets_every_page_and_every_model_of_the_admin(world):
    routes = {one.route for one in addresses(world)}
    assert {"dashboard/", "dashboard/jobs", "dashboard/tenants", *OPEN} <= routes
    shown = {model for model in world if any(f"{model._meta.app_label}/{model._meta.model_name}/" in route for route in routes)}
    assert {apps.get_model("rateguard_tenants", "Limit"), Job} <= shown


def test_nobody_gets_past_the_sign_in(world):
    wrong = []
    for method, one, response in walked(who("nobody"), addresses(world)):
        may = OPEN.get(one.route) == response.status_code or response.status_code == 405 or is_asked_to_sign_in(response)
        if not may or learned(response, one.path):
            wrong.append((method, one.path, response.status_code, learned(response, one.path)))
    assert not wrong


def strayed(client: Client, found: list[Address], methods=("get", "post")) -> list[object]:
    """Where somebody of another tenant learned something, or found something, or broke something."""
    wrong = []
    for method, one, response in walked(client, found, methods):
        is_found = one.is_filled and one.route not in OPEN and response.status_code not in {302, 400, 403, 404, 405}
        if is_found or response.status_code >= 500 or learned(response, one.path):
            wrong.append((method, one.path, response.status_code, learned(response, one.path)))
    return wrong


def of_the_foreign_tenant() -> list[object]:
    """Every row of the foreign tenant's, as it is."""
    kept = [Tenant.objects.filter(name=FOREIGN), Job.objects.filter(tenant__name=FOREIGN), Member.objects.filter(tenant__name=FOREIGN)]
    kept += [model.objects.filter(pk=NUMBER) for model in apps.get_app_config("rateguard_tenants").get_models() if model is not Tenant]
    return [sorted(map(str, rows.values())) for rows in kept if rows.model._meta.pk.get_internal_type() != "UUIDField" or rows.model is Job]


@pytest.mark.parametrize("role", [*ROLES, "without a tenant"])
def test_nobody_of_another_tenant_learns_or_changes_anything_by_a_page(role, world, acme):
    before = of_the_foreign_tenant()
    assert not strayed(who(role, acme.tenant), [one for one in addresses(world) if not one.is_admin])
    assert of_the_foreign_tenant() == before


def test_an_owner_of_another_tenant_learns_nothing_from_the_admins_lists_and_rows(world, acme):
    ours = [one for one in addresses(world) if one.route.startswith("admin/rateguard_")]
    assert not strayed(who("owner", acme.tenant), [one for one in ours if one.path.endswith("/change/") or not one.is_filled], ["get"])


@pytest.mark.long
@pytest.mark.parametrize("role", [*ROLES, "without a tenant"])
def test_nobody_of_another_tenant_learns_or_changes_anything_by_the_admin(role, world, acme):
    before = of_the_foreign_tenant()
    assert not strayed(who(role, acme.tenant), [one for one in addresses(world) if one.is_admin])
    assert of_the_foreign_tenant() == before


class Questions(HTMLParser):
    """What can be asked of a page: the names of its fields, and what stands behind `?` in its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        if tag in {"input", "select"} and said.get("name"):
            self.found.setdefault(said["name"], "")
        for link in (said.get("href") or "", said.get("hx-get") or ""):
            self.found |= dict(parse_qsl(urlsplit(link).query))


def questions_of(operator: Client, one: Address) -> dict[str, str]:
    """What can be asked of a page, filled with another tenant's things; {} where it is no page."""
    page = operator.get(one.path)
    if page.status_code != 200 or "html" not in page.headers["Content-Type"]:
        return {}
    found = {**Questions(page.content.decode()).found, **({} if one.is_admin else GUESSED)}
    kept = {name: value for name, value in found.items() if not name.startswith(("csrf", "_")) and name != "next"}
    return {name: str(GUESSED.get(name, value or NUMBER)) for name, value in kept.items()}


def told_when_asked(client: Client, one: Address, *asked: dict[str, str]) -> list[object]:
    """Where a page told something of what it was asked for, or broke."""
    paths = [f"{one.path}?{urlencode(questions)}" for questions in asked if questions]
    answers = [(path, client.get(path)) for path in paths]
    return [(path, found.status_code) for path, found in answers if found.status_code >= 500 or learned(found, unquote_plus(path))]


def test_asking_a_page_for_another_tenants_things_tells_nothing(world, acme):
    client, operator = who("owner", acme.tenant), who("operator")
    pages = [one for one in addresses(world) if not one.is_admin and not one.is_filled]
    assert not [told for one in pages for told in told_when_asked(client, one, GUESSED, questions_of(operator, one))]


@pytest.mark.long
@pytest.mark.parametrize("is_admin", [False, True])
def test_asking_one_thing_at_a_time_tells_nothing_either(is_admin, world, acme):
    client, operator = who("owner", acme.tenant), who("operator")
    lists = [one for one in addresses(world) if one.is_admin == is_admin and not one.is_filled]
    wrong = [told for one in lists for told in told_when_asked(client, one, *({n: v} for n, v in questions_of(operator, one).items()))]
    assert not wrong


def test_its_own_people_and_operators_do_find_them(world):
    """The marks are there to be found: a walk that sees nothing anywhere would prove nothing."""
    own = Client()
    own.force_login(get_user_model().objects.get(username=PERSON), backend="django.contrib.auth.backends.ModelBackend")
    for client in (own, who("operator")):
        seen = {mark for one in addresses(world) if not one.is_admin for mark in learned(client.get(one.path), "")}
        assert {FOREIGN, "grue", str(JOB)} <= seen
