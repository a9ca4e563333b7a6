"""Every Redis key of rateguard. All keys of a gate carry one hash tag, so a partition is one slot of a cluster.

Lua gets the same names: the loader puts GATE_KEYS in front of each script as the table K.
"""

from __future__ import annotations

GATE_KEYS = {
    "epoch": "epoch",  # string "<layout>:<epoch>"; gone = the gate is empty
    "version": "version",  # string, config_version of what is written
    "record_versions": "record_versions",  # hash limit:, path: or model: + id → version of the rows that it was read from
    "limit": "limit:",  # + limit id: packed header and ring
    "limit_ids": "limit_ids",  # set of limit ids, for looking
    "path": "path:",  # + path id: msgpack [tenant, weight, [limit ids]]
    "model": "model:",  # + model: msgpack [pool, [[deployment, [limits], [cools], input_pico, output_pico]]]
    "pools": "pools",  # hash model → pool
    "trees": "trees",  # set of trees with a ready tenant
    "tenants": "tenants:",  # + tree: zset tenant → tag
    "leaves": "leaves:",  # + tree \n tenant: zset path → tag
    "jobs": "jobs:",  # + tree \n path: zset member → order
    "finish": "finish:",  # + plane: hash tenant → finish tag
    "virtual": "virtual",  # hash plane → virtual time
    "leaf_finish": "leaf_finish:",  # + tree \n tenant: hash path → finish tag
    "leaf_virtual": "leaf_virtual",  # hash tree \n tenant → virtual time
    "parked": "parked:",  # + limit id: zset node → lane and tag
    "parked_at": "parked_at",  # hash node → limit id
    "parked_jobs": "parked_jobs:",  # + budget id: zset member → cost
    "parked_place": "parked_place",  # hash budget id \n member → msgpack [tree, path, order]
    "wake": "wake",  # zset limit id → when its first parked node is looked at
    "waiting": "waiting",  # string, number of waiting jobs
    "reservations": "reservations",  # hash reservation id → msgpack
    "send_by": "send_by",  # zset reservation id → when an unclaimed grant is late
    "held": "held:",  # + holder: set of reservation ids
    "holders": "holders",  # hash holder → msgpack [slots, [lanes]]
    "beats": "beats",  # zset holder → last heartbeat, ms; -1 left
    "running": "running",  # hash holder → claimed jobs
    "unsent": "unsent",  # hash lane → granted jobs not yet claimed
    "pulse": "pulse",  # hash last_heard, resumed_at
    "cooling": "cooling",  # hash target → until, ms
    "credits": "credits",  # hash pool|lane → grants to others since its last
    "last_pool": "last_pool",  # string
    "reply": "reply:",  # + channel: msgpack [number, reply], kept a minute
}


def gate_prefix(partition: str) -> str:
    """What every key of a partition's gate begins with."""
    return f"{{rg:{partition}}}:"


def cancel_channel(partition: str) -> str:
    """Publish/subscribe: ids of running jobs to cancel."""
    return f"{{rg:{partition}}}:cancel"


def finished_channel(partition: str) -> str:
    """Publish/subscribe: ids of jobs that ended."""
    return f"{{rg:{partition}}}:finished"
