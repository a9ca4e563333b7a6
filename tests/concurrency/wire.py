"""A wire to a Redis-protocol server that can lose replies, be slow, or be cut: a proxy in this process, a pair of threads a connection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

CHUNK = 1 << 16


class Wire:
    """Carries what comes to its own port to the server's and back."""

    def __init__(self, server_port: int) -> None:
        self._to = ("127.0.0.1", server_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._to_lose = 0
        self._nth = 0
        self._calls = 0
        self._delay_s = 0.0
        self._is_cut = False
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, replies: int) -> None:
        """The server runs the next calls of functions, so many of them, but their replies never come: the connection breaks instead."""
        self._to_lose = replies

    def lose_each(self, nth: int) -> None:
        """The same of each so-many-eth call, from now on; 0: of none."""
        self._nth = nth

    def be_slow(self, seconds: float) -> None:
        """Every reply takes so long, from now on."""
        self._delay_s = seconds

    def cut(self) -> None:
        """All connections break, and none is made until `mend`."""
        self._is_cut = True
        self._break_all()

    def mend(self) -> None:
        """Connections are carried again."""
        self._is_cut = False

    def lead_to(self, server_port: int) -> None:
        """All connections break; new ones go to another server, as an address does that follows the master."""
        self._to = ("127.0.0.1", server_port)
        self._break_all()

    def close(self) -> None:
        """For good."""
        self._listener.close()
        self._break_all()

    # ---- threads

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            try:
                server = socket.create_connection(self._to, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._ends |= {client, server}
            loses = threading.Event()
            threading.Thread(target=self._carry_calls, args=(client, server, loses), daemon=True).start()
            threading.Thread(target=self._carry_replies, args=(server, client, loses), daemon=True).start()

    def _carry_calls(self, client: socket.socket, server: socket.socket, loses: threading.Event) -> None:
        with self._ending(client, server):
            while data := client.recv(CHUNK):
                if b"FCALL" in data and self._takes_one():
                    loses.set()
                server.sendall(data)

    def _carry_replies(self, server: socket.socket, client: socket.socket, loses: threading.Event) -> None:
        with self._ending(client, server):
            while data := server.recv(CHUNK):
                if loses.is_set():
                    self.lost += 1
                    return
                if self._delay_s:
                    time.sleep(self._delay_s)
                client.sendall(data)

    def _takes_one(self) -> bool:
        with self._lock:
            self._calls += 1
            if self._to_lose > 0:
                self._to_lose -= 1
                return True
            return self._nth > 0 and self._calls % self._nth == 0

    @contextlib.contextmanager
    def _ending(self, *ends: socket.socket) -> Iterator[None]:
        with contextlib.suppress(OSError):
            yield
        self._break(*ends)

    def _break_all(self) -> None:
        with self._lock:
            ends = tuple(self._ends)
        self._break(*ends)

    def _break(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self._lock:
            self._ends -= set(ends)
