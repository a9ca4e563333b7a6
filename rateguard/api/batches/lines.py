"""A line of a batch as a Submission: a job as `POST /jobs` takes it with `custom_id` beside it, or a line as OpenAI's batches have it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.api.reading import read_job
from rateguard.api.strict_json import read_json_object
from rateguard.engine.errors import InvalidRequest, together
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.batches.asked import MOST_ID_CHARS
from rateguard.jobs.faults import escaped
from rateguard.jobs.intake.bodies import endpoint_of
from rateguard.jobs.intake.checking import faults_of
from rateguard.jobs.intake.submission import Submission
from tenants.models import ApiKey, Tenant

URLS = {"/v1/chat/completions": Endpoint.CHAT, "/v1/embeddings": Endpoint.EMBEDDINGS, "/v1/responses": Endpoint.RESPONSES}
OPENAI_FIELDS = ("custom_id", "method", "url", "body")
_MARKS = frozenset(OPENAI_FIELDS) - {"custom_id"}
_MARK = b"\xef\xbb\xbf"


class LineReader:
    """Reads the lines of one batch. key: by which it came in, whose rules hold.

    defaults: the object `job` for every line; a line's own names win over it, one by one.

    Raises InvalidRequest where the defaults cannot be read.
    """

    def __init__(
        self, tenant: Tenant, defaults: Mapping[str, Any], *, key: ApiKey | None = None, request_id: str = "", via: str = "rest"
    ) -> None:
        self._defaults = dict(defaults)
        self._always: dict[str, Any] = {"tenant": tenant, "request_id": request_id, "via": via}
        self._always |= {"key": key, "api_key_id": None if key is None else key.pk}
        self._usual = self._fields_of({})

    def read(self, raw: bytes, batch: uuid.UUID, line: int) -> Submission:
        """The job of a line. Raises InvalidRequest, whose pointers lead into the body."""
        given = _object_in(raw, line)
        custom_id = _id_in(given)
        body, endpoint = self._body_of(given)
        job = body.pop("job", None)
        faults: list[InvalidRequest] = []
        fields = self._usual if job is None else self._fields_of(job, faults)
        submission = Submission(
            body=body, endpoint=endpoint or endpoint_of(body), batch=batch, line=line, custom_id=custom_id, **self._always, **fields
        )
        if faults:
            raise together([*faults, *faults_of(submission)])
        return submission

    def place_of(self, raw: bytes, pointer: str) -> tuple[str, str]:
        """A line's custom_id, as far as there is one, and where in it a pointer into the body leads."""
        try:
            given = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return "", pointer
        if not isinstance(given, dict):
            return "", pointer
        custom_id = given.get("custom_id")
        is_inside = isinstance(given.get("body"), dict) and pointer and pointer.split("/")[1] not in OPENAI_FIELDS
        told = custom_id[:MOST_ID_CHARS].replace("\0", "") if isinstance(custom_id, str) else ""
        return told, f"/body{pointer}" if is_inside else pointer

    def _fields_of(self, job: object, faults: list[InvalidRequest] | None = None) -> dict[str, Any]:
        if not isinstance(job, dict):
            raise InvalidRequest("job is an object", code="invalid_field", pointer="/job")
        found: list[InvalidRequest] = [] if faults is None else faults
        read = read_job({**self._defaults, **{name: value for name, value in job.items() if value is not None}}, found)
        if faults is None and found:
            raise together(found)
        return read

    @staticmethod
    def _body_of(given: dict[str, Any]) -> tuple[dict[str, Any], Endpoint | None]:
        """The request of a line, and its kind where the line says it."""
        if _MARKS.isdisjoint(given):
            given.pop("custom_id", None)
            return given, None
        if unknown := [name for name in given if name not in OPENAI_FIELDS]:
            place = escaped(unknown[0])[:100]
            raise InvalidRequest(f"such a line has the fields {', '.join(OPENAI_FIELDS)}", code="unknown_field", pointer=f"/{place}")
        if given.get("method", "POST") != "POST":
            raise InvalidRequest("the method is POST", code="invalid_field", pointer="/method")
        url, body = given.get("url"), given.get("body")
        if not isinstance(url, str) or url not in URLS:
            raise InvalidRequest(f"the url is one of {', '.join(URLS)}", code="invalid_field", pointer="/url")
        if not isinstance(body, dict):
            raise InvalidRequest("the body is an object", code="invalid_field", pointer="/body")
        return body, URLS[url]


def _object_in(raw: bytes, line: int) -> dict[str, Any]:
    try:
        return read_json_object(raw.removeprefix(_MARK) if line == 1 else raw)
    except InvalidRequest as refusal:
        message = str(refusal).replace("the body is", "the line is")
        raise InvalidRequest(message, code=refusal.code, pointer=refusal.pointer) from None


def _id_in(given: Mapping[str, Any]) -> str:
    """The caller's own id of a line; empty where it has none."""
    found = given.get("custom_id")
    if found is None:
        return ""
    if not isinstance(found, str) or not 1 <= len(found) <= MOST_ID_CHARS or "\0" in found:
        raise InvalidRequest(
            f"a custom_id is a text of 1 to {MOST_ID_CHARS} characters, without NUL", code="invalid_field", pointer="/custom_id"
        )
    return found
