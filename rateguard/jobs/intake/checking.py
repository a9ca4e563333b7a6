"""What must be right about a submission before anything is counted, stored or sent. Every field that is wrong is named at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest, together
from rateguard.jobs.faults import as_whole, escaped, fault
from rateguard.jobs.intake.bodies import faults_in_body
from rateguard.jobs.intake.submission import MOST_TRIES, NAMES, Submission
from rateguard.jobs.names import MOST_NAME_CHARS, check_name

MOST_LABELS = 16
MOST_LABEL_KEY_CHARS = 64
MOST_LABEL_VALUE_CHARS = 256
MOST_METADATA_BYTES = 16_384
MOST_KEY_CHARS = 255
MOST_TOLD = 20
"""So many places are named of one kind of fault."""


def check(submission: Submission) -> None:
    """Raises InvalidRequest, whose pointers name the fields: in the body, or under `/job`."""
    if found := faults_of(submission):
        raise together(found)


def faults_of(submission: Submission) -> list[InvalidRequest]:
    """What is wrong, in the order of the fields; nothing where all is right."""
    found = [*_faults_of_job(submission), *_faults_of_key(submission.idempotency_key), *_faults_of_model(submission.body)]
    unwritable = list(_faults_of_writing(submission.body, ""))
    told = {name: value for name in (*NAMES, "labels") if (value := getattr(submission, name))}
    if told and not found:
        unwritable += _faults_of_writing(told, "/job")
    return found + (unwritable or list(faults_in_body(submission.endpoint, submission.body)))


# ---- the job's own fields


def _faults_of_job(submission: Submission) -> Iterator[InvalidRequest]:
    for name in NAMES:
        if getattr(submission, name) != "":
            yield from _raised_by(lambda name=name: check_name(getattr(submission, name), f"/job/{name}"))  # type: ignore[misc]
    yield from _faults_of_labels(submission.labels)
    yield from _faults_of_metadata(submission.metadata)
    yield from _faults_of_text(submission.session, MOST_KEY_CHARS, "/job/session")
    yield from as_whole(submission.max_tries, MOST_TRIES, "/job/max_tries")
    yield from as_whole(submission.timeout_s, conf().call_timeout_s, "/job/timeout")
    yield from as_whole(submission.connect_timeout_s, conf().call_timeout_s, "/job/timeout/connect")
    yield from as_whole(submission.first_token_timeout_s, conf().call_timeout_s, "/job/timeout/first_token")
    if not isinstance(submission.store, bool):
        yield fault("store is true or false", "/job/store")
    yield from _faults_of_times(submission)


def _raised_by(rule: Callable[[], None]) -> Iterator[InvalidRequest]:
    try:
        rule()
    except InvalidRequest as refusal:
        yield refusal


def _faults_of_text(value: object, most: int, pointer: str) -> Iterator[InvalidRequest]:
    if not isinstance(value, str) or len(value) > most:
        yield fault(f"write a text of at most {most} characters", pointer)


def _faults_of_labels(labels: object) -> Iterator[InvalidRequest]:
    if not isinstance(labels, Mapping) or len(labels) > MOST_LABELS:
        yield fault(f"labels are an object of at most {MOST_LABELS} texts", "/job/labels")
        return
    for key, value in labels.items():
        if not isinstance(key, str) or not 1 <= len(key) <= MOST_LABEL_KEY_CHARS:
            yield fault(f"a label's key has 1 to {MOST_LABEL_KEY_CHARS} characters", "/job/labels")
        else:
            yield from _faults_of_text(value, MOST_LABEL_VALUE_CHARS, f"/job/labels/{escaped(key)}")


def _faults_of_metadata(metadata: object) -> Iterator[InvalidRequest]:
    if metadata == {}:
        return
    unwritable = list(_faults_of_writing(metadata, "/job/metadata"))
    yield from unwritable
    if not unwritable and (not isinstance(metadata, Mapping) or len(orjson.dumps(metadata)) > MOST_METADATA_BYTES):
        yield fault(f"metadata is an object of at most {MOST_METADATA_BYTES} bytes", "/job/metadata")


def _faults_of_times(submission: Submission) -> Iterator[InvalidRequest]:
    times = {name: getattr(submission, name) for name in ("run_at", "deadline")}
    naive = [name for name, time in times.items() if time is not None and time.tzinfo is None]
    yield from (fault("say in which time zone", f"/job/{name}") for name in naive)
    if not naive and submission.run_at and submission.deadline and submission.deadline <= submission.run_at:
        yield fault("the deadline is not after run_at", "/job/deadline")


def _faults_of_key(key: object) -> Iterator[InvalidRequest]:
    if key is not None:
        yield from _faults_of_text(key, MOST_KEY_CHARS, "")


def _faults_of_model(body: Mapping[str, Any]) -> Iterator[InvalidRequest]:
    if body.get("model", "") == "":
        yield fault("name a model", "/model", "missing_model")
    else:
        yield from _faults_of_text(body["model"], MOST_NAME_CHARS, "/model")


# ---- what can be stored


def _faults_of_writing(value: object, pointer: str) -> Iterator[InvalidRequest]:
    """What no JSON or no database can hold. Two levels more, because a body is wrapped on its way."""
    try:
        written = orjson.dumps([[value]])
    except TypeError as error:
        if "recursion" in str(error).lower():
            yield fault("the request is nested too deeply", pointer, "too_deep")
        else:
            yield fault(f"this cannot be written as JSON: {error}", pointer)
        return
    if b"\\u0000" in written:
        for count, place in enumerate(_places_of_nul(value, pointer)):
            if count == MOST_TOLD:
                return
            yield fault("a text holds a NUL character", place)


def _places_of_nul(value: object, pointer: str) -> Iterator[str]:
    """JSON pointers of the texts with a NUL; the value is known not to be deep."""
    if isinstance(value, str) and "\0" in value:
        yield pointer
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if "\0" in key:
                yield pointer
            yield from _places_of_nul(item, f"{pointer}/{escaped(key)}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _places_of_nul(item, f"{pointer}/{index}")
