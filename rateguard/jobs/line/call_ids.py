"""Ids of synchronous calls: UUIDv8 (RFC 9562) that name the process whose call it is, so that a grant finds its way from any process.

48 bits of Unix milliseconds, 26 of a counter, and the process's node number: 48 random bits, which are also the end of its holder's id.
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import time
import uuid

_NODE = (1 << 48) - 1
_VERSION = 8

_counter = itertools.count(secrets.randbits(26))


def new_holder() -> str:
    """A fresh id for a process that holds reservations: host, process, and its node number as 12 hexadecimal digits."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.randbits(48):012x}"


def node_of_holder(holder: str) -> int:
    """The node number of a process.

    >>> node_of_holder("web-1:17:00000000002a")
    42
    """
    return int(holder.rpartition(":")[2], 16)


def new_call_id(node: int) -> uuid.UUID:
    """The id of a call of this process."""
    number = next(_counter)
    high = (time.time_ns() // 1_000_000 & _NODE) << 80 | _VERSION << 76 | (number >> 14 & 0xFFF) << 64
    return uuid.UUID(int=high | 0b10 << 62 | (number & 0x3FFF) << 48 | node)


def is_call(one: uuid.UUID) -> bool:
    """Whether an id is a call's. A job's own id never is.

    >>> is_call(new_call_id(42)), is_call(uuid.uuid4())
    (True, False)
    """
    return one.version == _VERSION


def node_of(call: uuid.UUID) -> int:
    """The node number of the process whose call it is.

    >>> node_of(new_call_id(42))
    42
    """
    return call.int & _NODE
