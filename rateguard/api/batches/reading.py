"""A request for a batch: what kind of body it is, and what its address says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import orjson
from rest_framework.request import Request

from rateguard.api.authentication import Caller
from rateguard.api.batches.content import OPTIONS, JsonDocument, JsonLines, Options, read_options
from rateguard.api.batches.lines import LineReader
from rateguard.api.params import Query
from rateguard.api.reading import is_utf8, read_key
from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.batches.asked import Content, NewBatch, Reader
from rateguard.jobs.batches.unpacking import PIECE, bounded, unpacked

JSON = "application/json"
JSON_LINES = ("application/jsonl", "application/x-ndjson")
MOST_OPTION_CHARS = 20_000


@contextlib.contextmanager
def read_batch(request: Request, caller: Caller, request_id: str) -> Iterator[tuple[NewBatch, Content, Reader]]:
    """The batch that a POST asks for, and its lines, which are read later. Raises InvalidRequest."""
    kind, key = _kind_of(request), read_key(request)
    pieces = _pieces_of(request)
    with contextlib.ExitStack() as stack:
        content: JsonDocument | JsonLines
        if kind == JSON:
            Query(request, ())
            content = stack.enter_context(JsonDocument(pieces))
            options = content.options()
        else:
            options = _in_address(request)
            content = JsonLines(pieces, options)
        reader = LineReader(caller.tenant, options.job, key=caller.key, request_id=request_id)
        yield asked_of(options, caller.tenant, idempotency_key=key, api_key_id=caller.key.pk, request_id=request_id), content, reader


def asked_of(options: Options, tenant: Any, **further: Any) -> NewBatch:
    """A batch with these options."""
    return NewBatch(
        tenant=tenant,
        name=options.name,
        metadata=options.metadata,
        webhook=options.webhook,
        is_skipping=options.on_error == "skip",
        **further,
    )


def _kind_of(request: Request) -> str:
    kind, _, parameters = (request.content_type or "").partition(";")
    kind = kind.strip().lower()
    if kind not in {JSON, *JSON_LINES} or not is_utf8(parameters):
        raise InvalidRequest(f"send a batch as {JSON}, {' or '.join(JSON_LINES)}, in UTF-8", code="unsupported_media_type")
    return kind


def _pieces_of(request: Request) -> Iterator[bytes]:
    """The body, unpacked where gzip packed it."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"}:
        raise InvalidRequest("send a batch as it is, or packed by gzip", code="unsupported_media_type")
    pieces = bounded(iter(lambda: request.read(PIECE), b""), conf().batch_bytes)
    return unpacked(pieces) if encoding == "gzip" else pieces


def _in_address(request: Request) -> Options:
    """The options of JSON Lines: words as they are, `metadata` and `job` as JSON."""
    query = Query(request, OPTIONS)
    given: dict[str, Any] = {}
    for name in request.query_params:
        text = query.text(name, most=MOST_OPTION_CHARS)
        given[name] = _as_json(name, text) if name in {"metadata", "job"} else text
    return read_options(given)


def _as_json(name: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidRequest(f"{name} is a JSON object, quoted as an address has it", code="invalid_parameter") from None
