"""How the gate writes what it keeps: members of the waiting room, reservation ids, tree and node names.

Both twins use it, so both order alike.
"""

from __future__ import annotations

import struct
import uuid

from rateguard.engine.gate.contract import ReservationId, Waiting, WorkClass
from rateguard.engine.lanes import Lane

_MEMBER = struct.Struct(">16sIIIH")
_RESERVATION = struct.Struct(">16sH")
_CAME_BYTES = 6

TAG_SCALE = 100
"""A tag advances by tokens × TAG_SCALE ÷ weight, rounded down: whole numbers, so that both twins agree."""


def pack_member(job: Waiting) -> bytes:
    """The 30 bytes that a waiting job costs beside its score; 6 more of one with a deadline, whose score does not say when it came."""
    member = _MEMBER.pack(job.job.bytes, job.input_tokens, job.output_tokens, job.max_output_tokens, job.attempt)
    return member if job.deadline_ms is None else member + job.order_ms.to_bytes(_CAME_BYTES, "big")


NO_DEADLINE = 1 << 51
"""Jobs without a deadline stand behind all that have one, in the order in which they came."""


def order_of(job: Waiting) -> int:
    """A job's place among those of its user: the earliest deadline, then first come. At most 16 digits."""
    return NO_DEADLINE + job.order_ms if job.deadline_ms is None else job.deadline_ms


def unpack_member(member: bytes) -> tuple[uuid.UUID, int, int, int, int]:
    """(job, input_tokens, output_tokens, max_output_tokens, attempt)."""
    job, input_tokens, output_tokens, max_output_tokens, attempt = _MEMBER.unpack_from(member)
    return uuid.UUID(bytes=job), input_tokens, output_tokens, max_output_tokens, attempt


def came_ms(member: bytes, order: int) -> int:
    """When a waiting job came, by its member and its place in the order."""
    return order - NO_DEADLINE if order >= NO_DEADLINE else int.from_bytes(member[_MEMBER.size :], "big")


def pack_reservation(reservation: ReservationId) -> bytes:
    """18 bytes."""
    return _RESERVATION.pack(reservation.job.bytes, reservation.attempt)


def unpack_reservation(packed: bytes) -> ReservationId:
    """The inverse of pack_reservation."""
    job, attempt = _RESERVATION.unpack(packed)
    return ReservationId(uuid.UUID(bytes=job), attempt)


def tree_name(model: str, work_class: WorkClass, lane: Lane) -> str:
    """The tree of a model, class and lane: `gpt-4o-mini|2|3`. Class and lane are one digit each."""
    return f"{model}|{work_class:d}|{lane:d}"


def split_tree(tree: str) -> tuple[str, WorkClass, Lane]:
    """The inverse of tree_name."""
    return tree[:-4], WorkClass(int(tree[-3])), Lane(int(tree[-1]))


def node_name(tree: str, tenant: str, path: str = "") -> str:
    """A node of a tree: a tenant's (path empty) or a leaf's."""
    return f"{tree}\n{tenant}\n{path}"
