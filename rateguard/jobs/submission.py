"""A job as a caller asks for it, and what must be right about it before anything is counted, stored or sent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import orjson

from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.models import Delivery
from tenants.models import Tenant

MOST_NAME_CHARS = 128
MOST_LABELS = 16
MOST_LABEL_KEY_CHARS = 64
MOST_LABEL_VALUE_CHARS = 256
MOST_METADATA_BYTES = 16_384
MOST_KEY_CHARS = 255
MOST_TRIES = 100

NAMES = ("user", "team", "rolegroup", "role", "cost_center")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job as a caller asks for it.

    body: the request in OpenAI's shape; `model` in it is the public name. timeout_s: of the call at the provider, seconds.
    run: the run that it is charged to, beside those around it; where absent, the run around the call.
    id: given by a Celery canvas, else made. canvas: what hangs on its end (see `canvas`); only Python gives one. idempotency_key: the same key and body give the same job, whichever run asks again.
    """

    tenant: Tenant
    endpoint: Endpoint
    body: dict[str, Any]
    lane: Lane = Lane.NORMAL
    user: str = ""
    team: str = ""
    rolegroup: str = ""
    role: str = ""
    cost_center: str = ""
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    run_at: dt.datetime | None = None
    deadline: dt.datetime | None = None
    max_tries: int | None = None
    timeout_s: int | None = None
    run: uuid.UUID | None = None
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    idempotency_key: str | None = None
    api_key_id: int | None = None
    request_id: str = ""
    via: str = "rest"
    id: uuid.UUID | None = None
    canvas: dict[str, Any] | None = None


_NOT_PART_OF_THE_REQUEST = {"tenant", "idempotency_key", "api_key_id", "request_id", "via", "id", "run", "canvas"}
_HASHED = tuple(field.name for field in dataclasses.fields(Submission) if field.name not in _NOT_PART_OF_THE_REQUEST)


def fingerprint(submission: Submission) -> str:
    """What must be the same for an idempotency key to answer again: the body and how it is to be run. Check it first."""
    told = [getattr(submission, name) for name in _HASHED]
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


def check(submission: Submission) -> None:
    """Raises InvalidRequest, whose pointer names the field: in the body, or under `/job`."""
    job = {name: getattr(submission, name) for name in (*NAMES, "labels", "metadata")}
    for name in NAMES:
        check_name(job[name], f"/job/{name}")
    _check_labels(submission.labels)
    _check_writable(submission.body, "")
    _check_writable(job, "/job")
    _check_metadata(submission.metadata)
    _check_numbers(submission)
    _check_times(submission)
    if submission.idempotency_key is not None:
        _check_text(submission.idempotency_key, MOST_KEY_CHARS, "")
    _check_text(submission.body.get("model", ""), MOST_NAME_CHARS, "/model")
    if submission.endpoint == Endpoint.CHAT:
        _check_chat(submission.body)
    else:
        _check_input(submission.body.get("input"))


def _refuse(message: str, pointer: str, code: str = "invalid_field") -> NoReturn:
    raise InvalidRequest(message, code=code, pointer=pointer)


# ---- the job's own fields


def check_name(value: object, pointer: str) -> None:
    """A name of who is charged: short enough for a path and its limits, readable in a log. Raises InvalidRequest: `invalid_field`."""
    if not isinstance(value, str) or len(value) > MOST_NAME_CHARS:
        _refuse(f"a name is a text of at most {MOST_NAME_CHARS} characters", pointer)
    if _CONTROL.search(value):
        _refuse("a name has no control characters, such as line breaks or tabs", pointer)


def _check_text(value: object, most: int, pointer: str) -> None:
    if not isinstance(value, str) or len(value) > most:
        _refuse(f"write a text of at most {most} characters", pointer)


def _check_labels(labels: object) -> None:
    if not isinstance(labels, Mapping) or len(labels) > MOST_LABELS:
        _refuse(f"labels are an object of at most {MOST_LABELS} texts", "/job/labels")
    for key, value in labels.items():
        if not isinstance(key, str) or not 1 <= len(key) <= MOST_LABEL_KEY_CHARS:
            _refuse(f"a label's key has 1 to {MOST_LABEL_KEY_CHARS} characters", "/job/labels")
        _check_text(value, MOST_LABEL_VALUE_CHARS, f"/job/labels/{_escaped(key)}")


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping) or len(orjson.dumps(metadata)) > MOST_METADATA_BYTES:
        _refuse(f"metadata is an object of at most {MOST_METADATA_BYTES} bytes", "/job/metadata")


def _check_numbers(submission: Submission) -> None:
    _check_whole(submission.max_tries, MOST_TRIES, "/job/max_tries")
    _check_whole(submission.timeout_s, conf().call_timeout_s, "/job/timeout")


def _check_whole(value: object, most: int, pointer: str) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (is_whole and 1 <= value <= most):  # type: ignore[operator]  # is_whole says that it is an int
        _refuse(f"write a whole number from 1 to {most}", pointer)


def _check_times(submission: Submission) -> None:
    for name in ("run_at", "deadline"):
        time = getattr(submission, name)
        if time is not None and time.tzinfo is None:
            _refuse("say in which time zone", f"/job/{name}")
    if submission.run_at and submission.deadline and submission.deadline <= submission.run_at:
        _refuse("the deadline is not after run_at", "/job/deadline")


# ---- what can be stored


def _check_writable(value: object, pointer: str) -> None:
    """Refuse what no JSON or no database can hold. Two levels more, because a body is wrapped on its way."""
    try:
        written = orjson.dumps([[value]])
    except TypeError as error:
        is_deep = "recursion" in str(error).lower()
        _refuse(
            "the request is nested too deeply" if is_deep else f"this cannot be written as JSON: {error}",
            pointer,
            "too_deep" if is_deep else "invalid_field",
        )
    if b"\\u0000" in written:
        for place in _places_of_nul(value, pointer):
            _refuse("a text holds a NUL character", place)


def _places_of_nul(value: object, pointer: str) -> Iterator[str]:
    """JSON pointers of the texts with a NUL; the value is known not to be deep."""
    if isinstance(value, str) and "\0" in value:
        yield pointer
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if "\0" in key:
                yield pointer
            yield from _places_of_nul(item, f"{pointer}/{_escaped(key)}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _places_of_nul(item, f"{pointer}/{index}")


def _escaped(key: str) -> str:
    """A key as RFC 6901 writes it in a pointer."""
    return key.replace("~", "~0").replace("/", "~1")


# ---- the body: as much of its shape as we read ourselves; the rest is the provider's to judge


def _check_chat(body: Mapping[str, Any]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        _refuse("messages is a list of at least one message", "/messages")
    for index, message in enumerate(messages):
        _check_message(message, f"/messages/{index}")
    _check_objects(body.get("tools"), "/tools")


def _check_message(message: object, pointer: str) -> None:
    if not isinstance(message, dict):
        _refuse("a message is an object", pointer)
    if not isinstance(message.get("role"), str):
        _refuse("a message says its role", f"{pointer}/role")
    content = message.get("content")
    if isinstance(content, list):
        _check_objects(content, f"{pointer}/content")
    elif content is not None and not isinstance(content, str):
        _refuse("content is a text or a list of parts", f"{pointer}/content")
    _check_objects(message.get("tool_calls"), f"{pointer}/tool_calls")


def _check_objects(items: object, pointer: str) -> None:
    if items is None:
        return
    if not isinstance(items, list):
        _refuse("write a list of objects", pointer)
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            _refuse("write an object", f"{pointer}/{index}")


def _check_input(given: object) -> None:
    if isinstance(given, str) and given:
        return
    if not isinstance(given, list) or not given:
        _refuse("input is a text, a list of texts, or token numbers", "/input")
    for index, item in enumerate(given):
        if isinstance(item, list):
            if not all(type(token) is int for token in item):
                _refuse("a token array holds whole numbers", f"/input/{index}")
        elif type(item) is not int and not isinstance(item, str):
            _refuse("input is a text, a list of texts, or token numbers", f"/input/{index}")
