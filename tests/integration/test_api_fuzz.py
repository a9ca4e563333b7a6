"""Whatever a caller puts anywhere into a request, it is accepted or refused as a bad one."""

import copy
import random
from urllib.parse import quote, urlencode

import orjson
import pytest
from django.test import Client

from rateguard import wiring
from rateguard.jobs.models import Job
from rateguard.jobs.upkeep.rebuild import rebuild
from tenants.keys import issue_key
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme  # noqa: F401

TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"required": ["a"], "properties": {"a": {"items": {"enum": ["a"]}}}}},
}
CHAT = {
    "model": CHAT_MODEL,
    "messages": [
        {"role": "user", "name": "n", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
    ],
    "tools": [TOOL],
    "tool_choice": {"function": {"name": "f"}},
    "max_tokens": 5,
    "n": 1,
    "job": {
        "lane": "high",
        "user": "u",
        "labels": {"a": "b"},
        "metadata": {"a": [1]},
        "run_at": "2099-01-01T00:00:00Z",
        "deadline": "2099-02-01T00:00:00Z",
        "max_tries": 1,
        "timeout": 2,
        "delivery": "at_least_once",
    },
}
EMBEDDING = {"model": EMBEDDING_MODEL, "input": ["a", [1, 2]], "job": {"role": "r"}}

ODD = [None, True, 0, -1, 2**31, 2**63, 2**64 - 1, 1.5, 1e308, "", "a", "\0", "x" * 200, [], {}, [[]], [{}], [None], {"a": 1}, TOOL]
ODD += ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"]
ODD_NAMES = ["", "a/b~c", "\0", "zz"]


def containers(value):
    """Every object and non-empty list in a JSON value."""
    if isinstance(value, dict | list) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


def spoil(body, chance):
    """Change, add or remove one thing somewhere."""
    place = chance.choice(list(containers(body)))
    key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
    odd = copy.deepcopy(chance.choice(ODD))
    match chance.randrange(10):
        case 0:
            del place[key]
        case 1 if isinstance(place, dict):
            place[chance.choice(ODD_NAMES)] = odd
        case _:
            place[key] = odd


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(3))
def test_anything_is_accepted_or_refused_and_what_is_refused_is_not_written(acme, seed):  # noqa: F811
    chance = random.Random(seed)
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {acme.secret}"})
    accepted = 0
    for _ in range(120):
        body = copy.deepcopy(chance.choice([CHAT, EMBEDDING]))
        for _ in range(chance.choice([1, 1, 2])):
            spoil(body, chance)
        response = client.post("/api/v1/jobs", orjson.dumps(body), content_type="application/json")
        assert response.status_code in (202, 400), (body, response.content)
        accepted += response.status_code == 202
    assert Job.objects.count() == accepted > 0


QUERIES = {
    "/api/v1/limits": ("user", "team", "rolegroup", "role", "run", "model", "lane", "input_tokens", "max_tokens"),
    "/api/v1/capacity": ("lane",),
    "/api/v1/breakers": (),
    "/api/v1/events": ("kind", "subject", "before", "limit"),
    "/api/v1/pauses": (),
    "/api/v1/scopes/global": ("lane", "model"),
    "/api/v1/scopes/{}/{}": ("tenant", "team", "user", "lane", "model", "input_tokens"),
    "/api/v1/jobs": (
        *("status", "lane", "user", "team", "model", "error", "run", "key", "label", "label.a", "label.", "submitted_after"),
        *("submitted_before", "include", "cursor", "limit"),
    ),
    "/api/v1/jobs/{}": ("wait",),
    "/api/v1/runs/{}": (),
    "/api/v1/runs": ("status", "limit"),
    "/api/v1/pauses/{}": (),
}
KINDS = ["tenant", "team", "role", "user", "run", "key", "account", "deployment", "global", "planet", "", "%00"]
ODD_TEXTS = [
    "",
    "a",
    "\0",
    "x" * 200,
    "-1",
    "0",
    "1",
    "1.5",
    "9" * 40,
    "٣",
    "acme",
    "low",
    "critical",
    "null",
    "[]",
    "a/b",
    "a|b",
    "a@b",
    "%",
    "😀",
]
ODD_TEXTS += ["2026-01-01T00:00:00Z", "2026-01-01", "a:b", ":", "a:\0", "failed,expired", ",", "bi4xLjI", "+", " "]
ODD_TEXTS += [str(2**63), str(2**63 - 1), "01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e", CHAT_MODEL, "threshold", "main"]
BODIES = {
    "/api/v1/runs": {"name": "a", "budget_usd": 2, "max_calls": 3, "deadline": "2099-01-01T00:00:00Z", "parent": None},
    "/api/v1/pauses": {"target_kind": "lane", "target": "low", "until": 60, "reason": "a", "drain": True},
    "/api/v1/jobs/01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e/retry": {"deadline": "2099-01-01T00:00:00Z"},
    "/api/v1/breakers/main": {"action": "open"},
    "/api/v1/breakers/gpt-5-4-mini": {"action": "open"},
}


def an_operator(acme):  # noqa: F811
    secret = issue_key(acme.tenant, "ops", is_operator=True)[1]
    return Client(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})


@pytest.mark.django_db
def test_whatever_an_address_holds_is_answered_or_refused(acme, redis_url):  # noqa: F811
    rebuild(wiring.gate())
    chance, client, seen = random.Random(1), an_operator(acme), set()
    for _ in range(300):
        path, names = chance.choice(list(QUERIES.items()))
        parts = [quote(chance.choice(KINDS if path.count("{") == 2 and at == 0 else ODD_TEXTS), safe="/%") for at in range(path.count("{"))]
        known = chance.sample(names, chance.randrange(min(3, len(names)) + 1)) + chance.sample(["zz"], chance.randrange(8) == 0)
        query = urlencode([(name, chance.choice(ODD_TEXTS)) for name in known])
        response = client.get(f"{path.format(*parts)}?{query}")
        assert response.status_code in (200, 400, 404), (path, parts, query, response.content)
        seen.add(response.status_code)
    assert seen == {200, 400, 404}


@pytest.mark.django_db
def test_whatever_a_small_body_holds_is_done_or_refused(acme, redis_url):  # noqa: F811
    rebuild(wiring.gate())
    chance, client, seen = random.Random(2), an_operator(acme), set()
    for _ in range(300):
        path, sent = chance.choice(list(BODIES.items()))
        body = copy.deepcopy(sent)
        spoil(body, chance)
        response = client.post(path, orjson.dumps(body), content_type="application/json")
        assert response.status_code in (200, 201, 202, 400, 404), (path, body, response.content)
        seen.add(response.status_code)
    assert {201, 400, 404} <= seen
