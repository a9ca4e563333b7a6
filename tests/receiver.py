"""A webhook endpoint of real HTTP for tests: `from tests.receiver import receiver` gives a module the fixture."""

from __future__ import annotations

import dataclasses
import http.server
import threading
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook

from tests.simprovider import wait_for

__all__ = ["Receiver", "receiver"]


@dataclasses.dataclass(frozen=True)
class Received:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: str

    def verified(self, secret: str) -> dict:
        """What it tells. Raises WebhookVerificationError where it is not signed with this secret."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """Takes what is posted. answers: by the beginning of a path, what to say instead of 204: (status, headers, body).

    closed: while it is cleared, answers wait.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.opened = threading.Event()
        self.opened.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                outer.received.append(Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                outer.opened.wait(20)
                status, headers, said = next((told for path, told in outer.answers.items() if self.path.startswith(path)), (204, {}, b""))
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(said)))
                    self.end_headers()
                    self.wfile.write(said)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def wait(self, count: int, within_s: float = 10) -> list[Received]:
        """The first so many, as soon as they are here."""
        wait_for(lambda: len(self.received) >= count, within_s)
        return self.received[:count]

    def close(self) -> None:
        """End it."""
        self.opened.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()
