"""Every Redis key of rateguard. All keys of a gate carry one hash tag, so a partition is one slot of a cluster.

Lua gets the same names: the loader puts GATE_KEYS in front of each script as the table K.
"""

from __future__ import annotations

GATE_KEYS = {
    "epoch": "epoch",  # string "<layout>:<epoch>:<run id of the server>"; gone, or of another run = the gate must be rebuilt
    "rebuild": "rebuild",  # string "<mark>:<run id of the server>", while a rebuild goes on
    "version": "version",  # string, config_version of what is written
    "stamp": "stamp",  # string, changed by each write of configuration: what an interpreter has unpacked before is old
    "writes": "writes",  # string, number of writes of configuration
    "record_versions": "record_versions",  # hash limit:, scope: or model: + id → version of the rows that it was read from
    "record": "record:",  # + limit id: packed, what a limit is
    "limit": "limit:",  # + limit id, or id @ node: packed: what is used, what it is (not by default), slots
    "ring": "ring:",  # + the same: u32 slots of a busy window, but the head's
    "limit_ids": "limit_ids",  # set of limit ids, for looking
    "live": "live",  # zset limit id @ node \n tenant → when to ask whether its state is void
    "nodes": "nodes",  # hash tenant → its live default states
    "instances": "instances:",  # + limit id: set of limit id @ node \n tenant
    "scope": "scope:",  # + node: msgpack [[limit ids], weight, [without], [[kind, [limit ids]]]]
    "model": "model:",  # + list: msgpack [pool, [[deployment, [limits], [cools], two prices, [rule], tier, weight, after_ms]], mode]
    "turns": "turns",  # hash list → msgpack deployment → its standing among those that take turns
    "statistics": "statistics",  # hash deployment → msgpack [calls, latency_us or -1, failed, used_ms]
    "paused_lanes": "paused_lanes",  # string, msgpack: flat lane, until_ms
    "breakers": "breakers",  # hash deployment → msgpack
    "notices": "notices",  # hash notice id → msgpack
    "trees": "trees",  # set of trees with a ready tenant
    "tenants": "tenants:",  # + tree: zset tenant → tag
    "users": "users:",  # + tree \n tenant: zset user → tag
    "leaves": "leaves:",  # + tree \n tenant \n user: zset path → order of its head job
    "jobs": "jobs:",  # + tree \n path: zset member → order
    "finish": "finish:",  # + plane: hash tenant → finish tag
    "user_finish": "user_finish:",  # + hour \n plane \n tenant: hash user → finish tag
    "virtual": "virtual",  # hash plane, or plane \n tenant → virtual time
    "parked": "parked:",  # + limit id: zset order of the head job + node → lane, class and tag
    "parked_at": "parked_at",  # hash node → limit id
    "parked_jobs": "parked_jobs:",  # + budget id: zset member → cost
    "parked_place": "parked_place",  # hash budget id \n member → msgpack [tree, path, order]
    "wake": "wake",  # zset limit id → when what is parked under it is looked at
    "waiting": "waiting",  # string, number of waiting jobs
    "reservations": "reservations",  # hash reservation id → msgpack
    "send_by": "send_by",  # zset reservation id → when an unclaimed grant is late
    "held": "held:",  # + holder: set of reservation ids
    "holders": "holders",  # hash holder → msgpack [slots, [lanes], last heartbeat]
    "beats": "beats",  # zset holder → last heartbeat, ms; -1 left
    "counts": "counts",  # hash h + holder → claimed jobs, l + lane → granted jobs not yet claimed
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


def requeue_channel(partition: str) -> str:
    """Publish/subscribe: running attempts to give up, because somebody put their jobs back in line: 16 bytes of id, 4 of number."""
    return f"{{rg:{partition}}}:requeue"


def finished_channel(partition: str) -> str:
    """Publish/subscribe: ids of jobs that ended."""
    return f"{{rg:{partition}}}:finished"


def call_channel(partition: str, node: int) -> str:
    """Publish/subscribe: what another process's step of the gate decided for synchronous calls of the process with this node number."""
    return f"{{rg:{partition}}}:call:{node:012x}"


def events_key(partition: str, job: str) -> str:
    """Stream: what is told of a job's attempt, ids `<attempt>-<number>`. It lies beside the gate's keys: a rebuild does not clear it."""
    return f"{{rg:{partition}}}/events:{job}"


def events_channel(partition: str) -> str:
    """Publish/subscribe: ids of jobs whose stream of events has grown, 16 bytes each."""
    return f"{{rg:{partition}}}/events"
