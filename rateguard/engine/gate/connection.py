"""Where the gate's server is: at an address, or wherever Sentinels or a cluster say that it is now.

| URL | the server |
|---|---|
| `redis://host:6379/0`, `rediss://…`, `unix://…` | this one |
| `redis+sentinel://host:26379,host2:26379/service/0` | the service's master, as its Sentinels name it |
| `redis+cluster://host:6379,host2:6379` | the node that serves the gate's slot: all keys of a partition lie in one |

`rediss+sentinel`, `rediss+cluster`: with TLS. User and password before the `@` are the servers'; those of Sentinels, where they have any,
are `?sentinel_username=…&sentinel_password=…`. The address is asked for at each new connection, and a server that has become another's
replica, or that serves the slot no longer, counts as lost: the next call finds its successor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, MasterDownError, MovedError, ReadOnlyError
from redis.retry import Retry
from redis.sentinel import Sentinel

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.keys import gate_prefix

Address = tuple[str, int]
Found = TypeVar("Found")
Options = dict[str, Any]
"""Keyword arguments of a client."""

HAS_MOVED = (ReadOnlyError, MasterDownError, MovedError, ClusterDownError)
"""What a server says that is no longer the one to ask."""
DEFAULT_PORTS = {"sentinel": 26_379, "cluster": 6_379}
SENTINELS_AND_SERVICE = "redis+sentinel://host:26379,host2:26379/service/0"


@dataclasses.dataclass(frozen=True, slots=True)
class Finders:
    """Servers that know where the gate's is. kind: `sentinel` or `cluster`. service: the name that Sentinels know the master by."""

    kind: str
    hosts: tuple[Address, ...]
    service: str = ""
    db: int = 0
    is_tls: bool = False
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None


def connect(url: str, timeout_ms: int, partition: str = "default") -> redis.Redis:
    """A client that never retries by itself and gives up after `timeout_ms`: outages must show at once. It connects at its first call.

    Asking where the server is has the same time for each of those asked, once a connection. Raises ConfigurationError for a wrong URL.
    """
    seconds = timeout_ms / 1000
    patience: Options = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    finders = finders_of(url)
    if finders is None:
        return redis.Redis.from_url(url, **patience, retry=None, protocol=2, health_check_interval=0)
    finder = _sentinel_finder(finders, patience) if finders.kind == "sentinel" else _cluster_finder(finders, patience, partition)
    login: Options = {"username": finders.username, "password": finders.password, "db": finders.db}
    connection = _FoundTlsConnection if finders.is_tls else _FoundConnection
    pool = ConnectionPool(connection, finder=finder, **patience, **login, retry=None, protocol=2, health_check_interval=0)
    return redis.Redis.from_pool(pool)


# ---- URLs


def finders_of(url: str) -> Finders | None:
    """What a URL says of Sentinels or a cluster; None where it is a server's own. Raises ConfigurationError."""
    parts = urlsplit(url)
    tls, _, kind = parts.scheme.partition("+")
    if tls not in {"redis", "rediss"} or kind not in DEFAULT_PORTS:
        return None
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    service, db = _service_and_db(url, kind, parts.path)
    query = parse_qs(parts.query)
    return Finders(
        kind=kind,
        hosts=tuple(_address(host, DEFAULT_PORTS[kind], url) for host in hosts.split(",")),
        service=service,
        db=db,
        is_tls=tls == "rediss",
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=query.get("sentinel_username", [None])[0],
        sentinel_password=query.get("sentinel_password", [None])[0],
    )


def _address(host: str, port: int, url: str) -> Address:
    try:
        parts = urlsplit(f"//{host}")
        found = parts.hostname, parts.port or port
    except ValueError:
        found = None, port
    if not found[0]:
        raise ConfigurationError(f"{_without_login(url)}: {host!r} is no host and port. Write them as host:{port},host2:{port}.")
    return found[0], found[1]


def _service_and_db(url: str, kind: str, path: str) -> tuple[str, int]:
    service, _, db = path.removeprefix("/").partition("/") if kind == "sentinel" else ("", "", path.strip("/"))
    if kind == "sentinel" and not service:
        raise ConfigurationError(f"{_without_login(url)} does not name the Sentinels' service. Write it as {SENTINELS_AND_SERVICE}.")
    if not (db or "0").isdigit() or (kind == "cluster" and int(db or 0)):
        allowed = "a number" if kind == "sentinel" else "0, the only one that a cluster has"
        raise ConfigurationError(f"{_without_login(url)}: the database {db!r} must be {allowed}.")
    return service, int(db or 0)


def _without_login(url: str) -> str:
    """No message carries a password."""
    head, at, _ = url.partition("://")
    return f"{head}{at}{urlsplit(url).netloc.rpartition('@')[2]}{urlsplit(url).path}"


def broker_of(url: str) -> tuple[str, dict[str, Any]]:
    """The same server as Celery's broker: its URL and transport options. Raises ConfigurationError for a cluster: Celery cannot use one."""
    finders = finders_of(url)
    if finders is None:
        return url, {}
    if finders.kind == "cluster":
        raise ConfigurationError(
            "REDIS_URL is a cluster, which Celery's broker cannot be. Set BROKER_URL to a single server, or to Sentinels as "
            f"{SENTINELS_AND_SERVICE}."
        )
    login = "" if finders.password is None else f"{quote(finders.username or '', safe='')}:{quote(finders.password, safe='')}@"
    hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in finders.hosts)
    options: dict[str, Any] = {"master_name": finders.service, "sentinel_kwargs": _sentinel_login(finders)}
    return ";".join(f"sentinel://{login}{host}/{finders.db}" for host in hosts), options


# ---- finding


class _Finding(Connection):
    """A connection that asks where to go each time that it is opened."""

    def __init__(self, *, finder: Callable[[], Address], **more: Any) -> None:
        self._finder = finder
        super().__init__(**more)  # type: ignore[no-untyped-call]  # redis-py has no types here

    def _connect(self) -> Any:
        self.host, self.port = self._finder()
        return super()._connect()  # type: ignore[no-untyped-call]  # redis-py has no types here

    def read_response(self, *args: Any, **more: Any) -> Any:
        """As the parent; a server that is no longer the one to ask is left."""
        try:
            return super().read_response(*args, **more)
        except HAS_MOVED as error:
            self.disconnect()  # type: ignore[no-untyped-call]  # redis-py has no types here
            raise redis.ConnectionError(f"{self.host}:{self.port} serves the gate no longer: {type(error).__name__}: {error}") from error


class _FoundConnection(_Finding):
    """In the clear."""


class _FoundTlsConnection(_Finding, SSLConnection):
    """With TLS."""


def _sentinel_login(finders: Finders) -> dict[str, str]:
    login = {"username": finders.sentinel_username, "password": finders.sentinel_password}
    return {name: value for name, value in login.items() if value is not None}


def _sentinel_finder(finders: Finders, patience: Options) -> Callable[[], Address]:
    kwargs = {**patience, **_sentinel_login(finders), "retry": Retry(NoBackoff(), 0), "ssl": finders.is_tls}
    sentinels: Any = Sentinel(list(finders.hosts), sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]  # redis-py has no types here

    def find() -> Address:
        host, port = sentinels.discover_master(finders.service)
        return host, port

    return find


def _cluster_finder(finders: Finders, patience: Options, partition: str) -> Callable[[], Address]:
    slot = key_slot(gate_prefix(partition).encode())
    login: Options = {"username": finders.username, "password": finders.password, "ssl": finders.is_tls, "retry": Retry(NoBackoff(), 0)}
    nodes = [redis.Redis(host, port, **patience, **login) for host, port in finders.hosts]

    def find() -> Address:
        return _first_answer(nodes, lambda node: _owner(node, slot))

    return find


def _owner(node: Any, slot: int) -> Address:
    """The node that serves the slot, as this one knows. Raises ClusterDownError where it knows none."""
    for first, last, (host, port, *_), *_ in node.execute_command("CLUSTER SLOTS"):
        if first <= slot <= last:
            return host.decode() if host else node.connection_pool.connection_kwargs["host"], port
    raise ClusterDownError(f"slot {slot} is served by no node")


def _first_answer(nodes: list[redis.Redis], ask: Callable[[redis.Redis], Found]) -> Found:
    """Of the first that gives one. Raises redis.ConnectionError with what each said."""
    refusals = []
    for node in nodes:
        try:
            return ask(node)
        except (redis.RedisError, OSError) as error:
            refusals.append(f"{type(error).__name__}: {error}")
    raise redis.ConnectionError(f"no node tells where the gate's slot is: {'; '.join(refusals)}")
