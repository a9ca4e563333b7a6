"""A file of jobs by REST. What nobody answers is sent again: the batch's key makes that harmless."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
from django.core.management.base import CommandError

from rateguard.api.batches.content import Options
from rateguard.jobs.batches.unpacking import PIECE
from rateguard.management.batches.contract import MOST_TOLD, refused
from rateguard.management.batches.file import JobsFile

PATIENCE_S = 60.0
"""So long a server that does not answer is asked again."""
PAUSE_S = 1.0
ANSWER_S = 600.0
_AWAY = {502, 503, 504}


class There:
    """A server of rateguard's, and a key of a tenant there."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise CommandError(f"{url!r} is no address: write it like https://llm.example.com")
        self._parts = parts
        self._key = key

    def submit(self, file: JobsFile, options: Options) -> tuple[dict[str, Any], bool]:
        """Sent piece by piece, as it is packed."""
        given = {"name": options.name, "on_error": options.on_error, "webhook": options.webhook}
        given |= {"job": orjson.dumps(options.job).decode()} if options.job else {}
        headers = {"Content-Type": "application/jsonl", "Idempotency-Key": file.key()}
        headers |= {"Content-Encoding": "gzip"} if file.is_packed else {}
        query = urlencode({name: value for name, value in given.items() if value})
        answer = self._ask("POST", f"/api/v1/batches?{query}", file, headers)
        told = self._told(answer)
        if answer.status not in {200, 201}:
            raise refused(told.get("detail", f"the server answered {answer.status}"), told.get("lines", []), told.get("line_count", 0))
        return told, answer.status == 201

    def look(self, batch: str) -> dict[str, Any] | None:
        """None while the server is away."""
        try:
            answer = self._once("GET", f"/api/v1/batches/{batch}", None, {})
            if answer.status in _AWAY:
                return None
            return self._good(answer)
        except (OSError, http.client.HTTPException):
            return None

    def errors(self, batch: str) -> list[dict[str, Any]]:
        """A page of them."""
        found: list[dict[str, Any]] = self._good(self._ask("GET", f"/api/v1/batches/{batch}/errors?limit={MOST_TOLD}"))["data"]
        return found

    def results(self, batch: str) -> Iterator[bytes]:
        """As they come."""
        answer = self._ask("GET", f"/api/v1/batches/{batch}/results")
        if answer.status != 200:
            self._good(answer)
        while piece := answer.read(PIECE):
            yield piece

    def close(self) -> None:
        """There is nothing."""

    # ---- requests

    def _ask(self, method: str, path: str, file: JobsFile | None = None, headers: dict[str, str] | None = None) -> Any:
        """Until somebody answers. Raises CommandError where nobody does."""
        until = time.monotonic() + PATIENCE_S
        while True:
            why = ""
            try:
                answer = self._once(method, path, file, headers or {})
                if answer.status not in _AWAY:
                    return answer
                why = f"it answers {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                why = str(error) or type(error).__name__
            if time.monotonic() > until:
                raise CommandError(f"{self._parts.netloc} does not answer: {why}; start the same command again, no line is done twice")
            time.sleep(PAUSE_S)

    def _once(self, method: str, path: str, file: JobsFile | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.netloc, timeout=ANSWER_S)
        named = {"Authorization": f"Bearer {self._key}", "Connection": "close", **headers}
        body = None if file is None else file.pieces()
        connection.request(method, self._parts.path.rstrip("/") + path, body, named)
        return connection.getresponse()

    def _good(self, answer: http.client.HTTPResponse) -> dict[str, Any]:
        told = self._told(answer)
        if answer.status != 200:
            raise CommandError(told.get("detail", f"the server answered {answer.status}"))
        return told

    @staticmethod
    def _told(answer: http.client.HTTPResponse) -> dict[str, Any]:
        try:
            read = orjson.loads(answer.read())
        except orjson.JSONDecodeError:
            read = None
        return read if isinstance(read, dict) else {}
