"""Whatever a caller puts anywhere into a request, it is accepted or refused as a bad one."""

import copy
import random

import orjson
import pytest
from django.test import Client

from rateguard.jobs.models import Job
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
