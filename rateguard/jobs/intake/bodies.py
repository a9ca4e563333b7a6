"""The body of a request in OpenAI's shape: as much of it as we read ourselves; the rest is the provider's to judge."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.faults import as_whole, fault

MOST_TOKENS = 10_000_000
MOST_CHOICES = 128
MOST_TOLD = 20
"""So many items of a list are named."""


_OF_RESPONSES = frozenset({"instructions", "max_output_tokens", "previous_response_id"})
"""What only a request for a response has beside its `input`."""


def endpoint_of(body: Mapping[str, Any]) -> Endpoint:
    """Messages make a chat completion. An input makes embeddings; with items, or a field that only a response has, a response.

    Raises InvalidRequest.
    """
    if "messages" in body and "input" in body:
        raise InvalidRequest("send messages (a chat completion) or input (embeddings), not both", code="invalid_field", pointer="/input")
    if "messages" in body:
        return Endpoint.CHAT
    if "input" not in body:
        raise InvalidRequest("send messages (a chat completion) or input (embeddings)", code="missing_field", pointer="/messages")
    given = body["input"]
    first = given[0] if isinstance(given, list) and given else None
    has_items = isinstance(first, dict) and not {"role", "type"}.isdisjoint(first)
    return Endpoint.RESPONSES if has_items or not _OF_RESPONSES.isdisjoint(body) else Endpoint.EMBEDDINGS


def faults_in_body(endpoint: Endpoint, body: Mapping[str, Any]) -> Iterator[InvalidRequest]:
    """What is wrong with it."""
    if endpoint == Endpoint.CHAT:
        yield from _faults_of_chat(body)
    elif endpoint == Endpoint.RESPONSES:
        yield from _faults_of_response(body)
    else:
        yield from itertools.islice(_faults_of_input(body.get("input")), MOST_TOLD)


def length_of(body: Mapping[str, Any], endpoint: Endpoint) -> str:
    """The field that says how long an answer may get: of a chat's two the newer name wins."""
    if endpoint == Endpoint.RESPONSES:
        return "max_output_tokens"
    return "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"


def _faults_of_chat(body: Mapping[str, Any]) -> Iterator[InvalidRequest]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield fault("messages is a list of at least one message", "/messages")
    else:
        found = (one for index, message in enumerate(messages) for one in _faults_of_message(message, f"/messages/{index}"))
        yield from itertools.islice(found, MOST_TOLD)
    yield from itertools.islice(_faults_of_objects(body.get("tools"), "/tools"), MOST_TOLD)
    yield from _faults_of_answer(body, length_of(body, Endpoint.CHAT))
    yield from as_whole(body.get("n"), MOST_CHOICES, "/n")


def _faults_of_response(body: Mapping[str, Any]) -> Iterator[InvalidRequest]:
    given = body.get("input")
    if not given or not isinstance(given, str | list):
        yield fault("input is a text, or a list of at least one item", "/input")
    elif isinstance(given, list):
        yield from itertools.islice(_faults_of_objects(given, "/input"), MOST_TOLD)
    yield from itertools.islice(_faults_of_objects(body.get("tools"), "/tools"), MOST_TOLD)
    yield from _faults_of_answer(body, length_of(body, Endpoint.RESPONSES))


def _faults_of_answer(body: Mapping[str, Any], length: str) -> Iterator[InvalidRequest]:
    """How long it may get, and how it comes."""
    yield from as_whole(body.get(length), MOST_TOKENS, f"/{length}")
    if body.get("stream") is not None and not isinstance(body["stream"], bool):
        yield fault("stream is true or false", "/stream")


def _faults_of_message(message: object, pointer: str) -> Iterator[InvalidRequest]:
    if not isinstance(message, dict):
        yield fault("a message is an object", pointer)
        return
    if not isinstance(message.get("role"), str):
        yield fault("a message says its role", f"{pointer}/role")
    content = message.get("content")
    if isinstance(content, list):
        yield from _faults_of_objects(content, f"{pointer}/content")
    elif content is not None and not isinstance(content, str):
        yield fault("content is a text or a list of parts", f"{pointer}/content")
    yield from _faults_of_objects(message.get("tool_calls"), f"{pointer}/tool_calls")


def _faults_of_objects(items: object, pointer: str) -> Iterator[InvalidRequest]:
    if items is None:
        return
    if not isinstance(items, list):
        yield fault("write a list of objects", pointer)
        return
    yield from (fault("write an object", f"{pointer}/{index}") for index, item in enumerate(items) if not isinstance(item, dict))


def _faults_of_input(given: object) -> Iterator[InvalidRequest]:
    if isinstance(given, str) and given:
        return
    if not isinstance(given, list) or not given:
        yield fault("input is a text, a list of texts, or token numbers", "/input")
        return
    for index, item in enumerate(given):
        if isinstance(item, list):
            if not all(type(token) is int for token in item):
                yield fault("a token array holds whole numbers", f"/input/{index}")
        elif type(item) is not int and not isinstance(item, str):
            yield fault("input is a text, a list of texts, or token numbers", f"/input/{index}")
