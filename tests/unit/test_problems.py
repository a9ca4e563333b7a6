"""Errors as callers get them: each bad field with its place, a limit in the way with its name and a time to come again."""

import types

import orjson
import pytest
from rest_framework import serializers

from rateguard.api.problems import handle
from rateguard.engine.errors import InvalidRequest, LimitInTheWay, NotAllowed, together


def told_of(error):
    response = handle(error, {"request": types.SimpleNamespace(request_id="r-1")})
    return response, orjson.loads(orjson.dumps(response.data))


def in_the_way(**facts):
    facts = {"code": "no_room_in_time", "scope_kind": "team", "scope": "ml", "limit": "team ml: 600 requests per minute", **facts}
    return told_of(LimitInTheWay("no room", **facts))


class Part(serializers.Serializer):
    number = serializers.IntegerField(max_value=5, min_value=9)


class Whole(serializers.Serializer):
    name = serializers.CharField(max_length=3)
    parts = Part(many=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=2))

    def validate_name(self, value):
        raise serializers.ValidationError(["not this", "nor any"])


def test_every_field_that_a_serializer_refuses_has_its_pointer():
    found = Whole(data={"name": "a", "parts": [{"number": 9}, {}, {"a/b": 1, "number": "x"}], "tags": ["a", "long", []]})
    found.is_valid()
    response, problem = told_of(serializers.ValidationError(found.errors))
    assert (response.status_code, problem["code"]) == (400, "invalid_field")
    pointers = ["/name", "/parts/0/number", "/parts/1/number", "/parts/2/number", "/tags/1", "/tags/2"]
    assert [one["pointer"] for one in problem["errors"]] == pointers
    assert problem["errors"][0]["detail"] == "not this nor any"
    assert all(one["detail"] in problem["detail"] for one in problem["errors"])


def test_what_a_serializer_says_of_the_whole_points_to_the_whole():
    problem = told_of(serializers.ValidationError({"a~/b": {"non_field_errors": ["too much"]}}))[1]
    assert problem["errors"] == [{"pointer": "/a~0~1b", "detail": "too much"}]


def test_refusals_of_several_fields_become_one_with_all_pointers():
    one, other = InvalidRequest("x", code="unknown_lane", pointer="/job/lane"), InvalidRequest("y", code="unknown_field", pointer="/job/z")
    assert together([one]) is one
    problem = told_of(together([one, other]))[1]
    assert (problem["code"], [error["pointer"] for error in problem["errors"]]) == ("invalid_field", ["/job/lane", "/job/z"])
    assert told_of(together([one, one]))[1]["code"] == "unknown_lane"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotAllowed("no", code="model_not_allowed", pointer="/model"), 403),
        (InvalidRequest("no", code="name_taken"), 409),
        (InvalidRequest("no", code="not_retryable"), 409),
        (InvalidRequest("no", code="run_stopped"), 409),
        (InvalidRequest("no", code="anything_else"), 400),
    ],
    ids=lambda one: getattr(one, "code", ""),
)
def test_a_refusal_has_the_status_of_its_kind(error, status):
    assert told_of(error)[0].status_code == status


def test_a_limit_in_the_way_is_named_with_a_time_to_come_again():
    response, problem = in_the_way(amount=600, left=0, window_ms=60_000, retry_after_ms=30_001)
    assert (response.status_code, problem["errors"]) == (429, [])
    assert [problem[name] for name in ("scope_kind", "scope", "limit", "amount", "left", "unit")] == [
        "team",
        "ml",
        "team ml: 600 requests per minute",
        600,
        0,
        "requests",
    ]
    assert response.headers["Retry-After"] == "31"
    assert response.headers["RateLimit-Policy"] == '"team:ml";q=600;w=60'
    assert response.headers["RateLimit"] == '"team:ml";r=0;t=31'


def test_what_opens_not_by_itself_has_no_time_and_what_is_others_no_amount():
    response, problem = in_the_way(scope_kind="global", scope="")
    assert "Retry-After" not in response.headers
    assert "RateLimit-Policy" not in response.headers
    assert response.headers["RateLimit"] == '"global";r=0'
    assert problem["amount"] is None


def test_a_budget_is_a_402_in_millionths_of_a_dollar_of_any_size_and_name():
    most = 9_000_000 * 10**9
    response, problem = in_the_way(code="budget_exhausted", scope='mä"l\\', amount=most, left=1_999, unit="nano_usd")
    assert (response.status_code, problem["amount"]) == (402, most)
    assert response.headers["RateLimit-Policy"] == '"team:m%C3%A4%22l%5C";q=9000000000000;qu="micro-usd"'
    assert response.headers["RateLimit"] == '"team:m%C3%A4%22l%5C";r=1'
