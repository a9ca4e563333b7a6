"""What hangs on a job's end: Celery's links, errbacks, the rest of a chain, the chord and the group that it is a part of, as plain JSON.

It is stored with the job and moved by `outbox` and `moving` when the job has ended. Only Python gives a job a canvas, never REST.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson
from celery import Celery, current_app
from celery.canvas import Signature, maybe_signature
from celery.utils.functional import maybe_list
from kombu.utils.json import dumps, loads

from rateguard.engine.errors import InvalidRequest

_SIGNATURES = ("link", "link_error")
_PLACES = ("group_id", "group_index", "root_id", "parent_id")


def canvas_of(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """What of Celery's options moves at the end of the job, or None. `reply_to`, headers and queues do not concern a job.

    Links and errbacks get their ids here, so that one that is sent a second time, after a crash, is the same task.
    Raises InvalidRequest: `invalid_canvas`, where a signature cannot be written as JSON.
    """
    canvas: dict[str, Any] = {}
    for name in _SIGNATURES:
        if signatures := [_frozen(one) for one in maybe_list(options.get(name)) or ()]:
            canvas[name] = signatures
    if chain := options.get("chain"):
        canvas["chain"] = [_as_json(one) for one in chain]
    if chord := options.get("chord"):
        canvas["chord"] = _as_json(chord)
    if not canvas:
        return None  # a group by itself moves nothing
    return {**canvas, **{name: options[name] for name in _PLACES if options.get(name) is not None}}


def read(canvas: Mapping[str, Any] | None) -> dict[str, Any]:
    """A stored canvas as a worker would read it from a message: times and the like are no texts any more."""
    found: dict[str, Any] = loads(orjson.dumps(canvas or {}))
    return found


def signature_of(step: Any, app: Celery) -> Signature[Any]:
    """A stored step as Celery's signature."""
    return cast("Signature[Any]", maybe_signature(step, app=app))


def the_app() -> Celery:
    """The process's Celery app: the host project's, or our own."""
    app: Celery = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - behind the proxy; Celery's own way
    return app


def leaves(signature: Signature[Any]) -> Iterator[Signature[Any]]:
    """The single tasks that end when the signature does: of a chord those of its body, of a chain and a group each of theirs."""
    match signature.subtask_type:
        case "chord":
            if (body := signature.kwargs.get("body")) is not None:
                yield from leaves(signature_of(body, signature.app))
        case "chain" | "group":
            for task in signature.kwargs["tasks"]:
                yield from leaves(signature_of(task, signature.app))
        case _:
            yield signature


def _frozen(signature: Any) -> dict[str, Any]:
    """A copy with ids of its own, those that it has already kept."""
    copy = Signature.from_dict(_as_json(signature))
    copy.freeze()
    return _as_json(copy)


def _as_json(signature: Any) -> dict[str, Any]:
    """As Celery would write it into a message."""
    try:
        written: dict[str, Any] = orjson.loads(dumps(signature))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"what hangs on the job cannot be written as JSON: {error}", code="invalid_canvas") from None
    if not isinstance(written, dict) or not isinstance(written.get("task"), str):
        raise InvalidRequest("what hangs on a job is a signature, such as task.s()", code="invalid_canvas")
    return written
