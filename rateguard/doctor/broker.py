"""Celery's broker: whether it answers, and whether messages pile up there."""

from __future__ import annotations

from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError

from rateguard.doctor.finding import Finding, fail, ok, warn
from rateguard.embedding import LANE_QUEUES

CONNECT_S = 3
MANY = 1_000
"""The gate lets at most 100 granted jobs a worker wait to be sent, in messages of 25: so many messages are nobody's."""


def look() -> list[Finding]:
    """Connect once, and look into the lanes' queues."""
    with current_app.connection_for_read(connect_timeout=CONNECT_S) as connection:
        connection.transport_options = {
            **(connection.transport_options or {}),
            "socket_connect_timeout": CONNECT_S,
            "socket_timeout": CONNECT_S,
        }
        address = connection.as_uri()
        unreachable: tuple[type[Exception], ...] = (OperationalError, OSError, *_errors_of(connection))
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_S)
            depths = {queue: _depth(connection.default_channel, queue) for queue in LANE_QUEUES}
        except unreachable as error:
            told = f"the broker {address} does not answer: {error}"
            return [fail(told, "start it, or set BROKER_URL (REDIS_URL, where it is the same server)")]
    return [_pile(address, depths)]


def _errors_of(connection: Any) -> tuple[type[Exception], ...]:
    """What its transport raises where it cannot be reached."""
    found: tuple[type[Exception], ...] = connection.connection_errors
    return found


def _depth(channel: Any, queue: str) -> int:
    """Messages that nobody has taken; a queue that nobody has used is empty."""
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except channel.connection.client.channel_errors:
        return 0


def _pile(address: str, depths: dict[str, int]) -> Finding:
    full = {queue: depth for queue, depth in depths.items() if depth >= MANY}
    if full:
        told = ", ".join(f"{depth:,} in {queue}" for queue, depth in full.items())
        return warn(
            f"messages pile up at the broker: {told}", "start a worker that reads these queues; a message lost or doubled changes nothing"
        )
    waiting = sum(depths.values())
    return ok(f"the broker {address} answers; {waiting:,} messages lie in the lanes' queues")
