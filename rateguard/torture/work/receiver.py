"""A webhook endpoint of the campaign: it verifies each message, takes most of them, and refuses some the first time."""

from __future__ import annotations

import dataclasses
import http.server
import json
import random
import threading
import time
import uuid

from standardwebhooks import Webhook, WebhookVerificationError

NAME = "torture"
"""The endpoint's name, for jobs that want it to hear of their end."""
REFUSED = 0.05
"""The part of the messages that it refuses at first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """One message as it came. trouble: why its signature is not right, "" where it is."""

    id: str
    job: uuid.UUID | None
    kind: str
    trouble: str
    at: float


class Receiver:
    """An HTTP server in threads of its own. `received` is added to as messages come."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"{seed} receiver")
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self.secret = ""
        self.received: list[Received] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="torture-receiver", daemon=True).start()

    @property
    def url(self) -> str:
        """Where messages are sent."""
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        """Take nothing more."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, headers: dict[str, str], body: str) -> int:
        """Note a message; returns the status of the answer."""
        name = headers.get("webhook-id", "")
        with self._lock:
            if name not in self._seen and self._chance.random() < REFUSED:
                self._seen.add(name)
                return 503
            self._seen.add(name)
        trouble = ""
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError as error:
            trouble = str(error) or "the signature is wrong"
        told = json.loads(body)
        data = told.get("data", {})
        job = uuid.UUID(data["id"]) if data.get("object") == "job" else None
        self.received.append(Received(name, job, told.get("type", ""), trouble, time.monotonic()))
        return 204

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One request."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Take the message."""
                body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                self.send_response(outer.take({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        return Handler
