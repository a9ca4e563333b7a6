"""A request as a Submission: the body in OpenAI's shape, and beside it one object `job`. What a job may hold is judged by `submit`."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework.request import Request

from rateguard.api.authentication import Caller
from rateguard.api.strict_json import read_json_object
from rateguard.engine.errors import InvalidRequest, together
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.faults import escaped
from rateguard.jobs.intake.bodies import endpoint_of
from rateguard.jobs.intake.checking import faults_of
from rateguard.jobs.intake.submission import NAMES, Submission
from rateguard.jobs.intake.timeouts import timeouts_of
from rateguard.jobs.models import Delivery

MOST_BODY_BYTES = 8 * 1024 * 1024
LONGEST_WAIT_S = 60

_AS_THEY_ARE = {
    **{name: name for name in NAMES},
    "labels": "labels",
    "metadata": "metadata",
    "max_tries": "max_tries",
    "store": "store",
    "webhook": "webhook",
    "session": "session",
}
JOB_FIELDS = (*_AS_THEY_ARE, "timeout", "run_at", "deadline", "lane", "delivery", "run")
MOST_TOLD = 20
"""So many unknown fields are named."""
RUN_HEADER = "Rateguard-Run"

_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_STRICT = re.compile(r"(?:^|[,;])\s*handling\s*=\s*\"?strict\"?\s*(?=$|[,;])", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


def read_submission(request: Request, caller: Caller, request_id: str) -> Submission:
    """The job that a POST asks for. Raises InvalidRequest, which names every field that cannot be read or cannot be so."""
    body = read_object(request)
    job = body.pop("job", None)
    faults: list[InvalidRequest] = []
    fields = read_job({} if job is None else job, faults)
    submission = Submission(
        tenant=caller.tenant,
        endpoint=endpoint_of(body),
        body=body,
        run=_read_run(request, fields.pop("run", None)),
        idempotency_key=read_key(request),
        api_key_id=caller.key.pk,
        key=caller.key,
        must_start_within_s=read_strict_wait(request),
        request_id=request_id,
        **fields,
    )
    if faults:
        raise together([*faults, *faults_of(submission)])
    return submission


def read_retry(request: Request) -> dt.datetime | None:
    """The new deadline that a body names; there need be no body. Raises InvalidRequest."""
    if not has_body(request):
        return None
    body = read_object(request)
    if unknown := [name for name in body if name != "deadline"]:
        place = escaped(unknown[0])[:100]
        raise InvalidRequest("there is the field deadline, and no other", code="unknown_field", pointer=f"/{place}")
    deadline = body.get("deadline")
    return None if deadline is None else read_time(deadline, "/deadline")


def has_body(request: Request) -> bool:
    """Whether one came; some requests may do without."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    return length != "0" or "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def read_wait(request: Request) -> int:
    """The seconds of `?wait=`; 0 where it is absent. Raises InvalidRequest."""
    text = request.query_params.get("wait", "0")
    if not re.fullmatch(r"[0-9]{1,2}", text) or int(text) > LONGEST_WAIT_S:
        raise InvalidRequest(f"wait is a whole number of seconds from 0 to {LONGEST_WAIT_S}", code="invalid_parameter")
    return int(text)


def read_preferred_wait(request: Request) -> int:
    """The seconds of `Prefer: wait=N`, at most LONGEST_WAIT_S. A preference that cannot be read is passed over (RFC 7240)."""
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(found[1]), LONGEST_WAIT_S) if found else 0


def read_strict_wait(request: Request) -> int | None:
    """The seconds of `Prefer: handling=strict, wait=N` (RFC 7240): it must start within them, or is not to be accepted; else None."""
    prefer = request.headers.get("Prefer", "")
    found = _WAIT.search(prefer)
    return int(found[1]) if found and _STRICT.search(prefer) else None


# ---- the body


def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object, of at most MOST_BODY_BYTES. Raises InvalidRequest."""
    _check_kind(request)
    raw = request.read(MOST_BODY_BYTES + 1)
    if len(raw) > MOST_BODY_BYTES:
        raise InvalidRequest(f"the body has more than {MOST_BODY_BYTES} bytes", code="body_too_large")
    return read_json_object(raw)


def _check_kind(request: Request) -> None:
    """JSON is UTF-8 (RFC 8259) and comes as it is."""
    kind, _, parameters = (request.content_type or "").partition(";")
    if kind.strip().lower() != "application/json" or not is_utf8(parameters):
        raise InvalidRequest("send the body as application/json, in UTF-8", code="unsupported_media_type")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise InvalidRequest("send the body as it is, without a Content-Encoding", code="unsupported_media_type")


def is_utf8(parameters: str) -> bool:
    """Whether the parameters of a Content-Type name no other charset."""
    charset = _CHARSET.search(parameters)
    return charset is None or charset[1].lower() in {"utf-8", "utf8"}


def read_key(request: Request) -> str | None:
    """The header Idempotency-Key. Raises InvalidRequest."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest("an Idempotency-Key has 1 to 255 visible ASCII characters", code="invalid_header")
    return key


def _read_run(request: Request, named: uuid.UUID | None) -> uuid.UUID | None:
    """The run that a header names, or the object `job`; the two may not differ."""
    text = request.headers.get(RUN_HEADER)
    if text is None:
        return named
    told = _as_uuid(text)
    if told is None:
        raise InvalidRequest(f"{RUN_HEADER} is the id of a run, a UUID", code="invalid_header")
    if named not in {None, told}:
        raise InvalidRequest(f"{RUN_HEADER} names another run: name one", code="invalid_field", pointer="/job/run")
    return told


def _as_uuid(text: object) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


# ---- the object `job`


def read_job(job: object, faults: list[InvalidRequest]) -> dict[str, Any]:
    """The fields of `job` as a Submission has them. What cannot be read is left out, and told in `faults`."""
    if not isinstance(job, dict):
        raise InvalidRequest("job is an object", code="invalid_field", pointer="/job")
    given = {name: value for name, value in job.items() if value is not None}
    faults += [_unknown(name) for name in given if name not in JOB_FIELDS][:MOST_TOLD]
    read = {_AS_THEY_ARE[name]: value for name, value in given.items() if name in _AS_THEY_ARE}
    try:
        read |= timeouts_of(given.get("timeout"))
    except InvalidRequest as refusal:
        faults.append(refusal)
    for name, reader in _READERS.items():
        if name in given:
            try:
                read[name] = reader(given[name], f"/job/{name}")
            except InvalidRequest as refusal:
                faults.append(refusal)
    return read


def _unknown(name: str) -> InvalidRequest:
    place = escaped(name)[:100]
    message = f"job has no such field; its fields are {', '.join(JOB_FIELDS)}"
    return InvalidRequest(message, code="unknown_field", pointer=f"/job/{place}")


def read_time(value: object, pointer: str) -> dt.datetime:
    """RFC 3339, in UTC from here on."""
    try:
        time = parse_datetime(value) if isinstance(value, str) else None
        if time is not None and time.tzinfo is not None:
            return time.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidRequest("write a time with its zone, such as 2030-01-31T12:00:00Z", code="invalid_field", pointer=pointer)


def _read_lane(value: object, pointer: str) -> Lane:
    names = [lane.label for lane in Lane]
    if not isinstance(value, str) or value.lower() not in names:
        raise InvalidRequest(f"the lanes are {', '.join(names)}", code="unknown_lane", pointer=pointer)
    return parse_lane(value)


def _read_delivery(value: object, pointer: str) -> Delivery:
    if value not in Delivery.values:
        raise InvalidRequest(f"delivery is one of {', '.join(Delivery.values)}", code="invalid_field", pointer=pointer)
    return Delivery(value)


def _read_id(value: object, pointer: str) -> uuid.UUID:
    found = _as_uuid(value)
    if found is None:
        raise InvalidRequest("write the id of a run, a UUID", code="invalid_field", pointer=pointer)
    return found


_READERS: dict[str, Callable[[object, str], Any]] = {
    "run_at": read_time,
    "deadline": read_time,
    "lane": _read_lane,
    "delivery": _read_delivery,
    "run": _read_id,
}
