"""Several Valkey servers that belong together: a master with its replica, Sentinels over them, a cluster of one node."""

from __future__ import annotations

from pathlib import Path

import redis

from rateguard.embedded import process
from rateguard.embedded.valkey import ValkeyServer, start_valkey, valkey_argv
from tests.concurrency.wire import Wire
from tests.simprovider import wait_for

SERVICE = "gate"
QUORUM = 2
AT_ONCE = {"repl-diskless-sync-delay": "0"}
"""A master that does not wait for more replicas before it sends its data."""


def admin(port: int) -> redis.Redis:
    """A client for what is done to a server, not with it."""
    return redis.Redis(port=port, socket_timeout=5, decode_responses=True)


def bus_of(node: ValkeyServer) -> str:
    """The port at which a cluster's nodes talk to each other."""
    with admin(node.port) as client:
        return client.config_get("cluster-port")["cluster-port"]


class Pair:
    """A master and its replica. What the replica hears comes over `link`; a client that follows the master goes over `front`."""

    def __init__(self, folder: Path) -> None:
        self.master = start_valkey(folder / "master", settings=AT_ONCE)
        self.replica = start_valkey(folder / "replica")
        self.link = Wire(self.master.port)
        self.front = Wire(self.master.port)
        with admin(self.replica.port) as client:
            client.replicaof("127.0.0.1", self.link.port)
        self.wait_in_step()

    @property
    def url(self) -> str:
        """The address that follows the master."""
        return self.front.url

    def wait_in_step(self) -> None:
        """Until the replica has every write."""
        with admin(self.master.port) as master, admin(self.replica.port) as replica:
            wait_for(lambda: replica.info("replication").get("master_link_status") == "up", 20)
            wait_for(lambda: replica.info("replication")["slave_repl_offset"] >= master.info("replication")["master_repl_offset"], 20)

    def promote(self) -> None:
        """The replica is the master from now on, with what it has."""
        with admin(self.replica.port) as client:
            client.replicaof("NO", "ONE")
        self.front.lead_to(self.replica.port)

    def fail_over(self) -> None:
        """The master dies as in a power cut."""
        self.master.kill()
        self.promote()

    def close(self) -> None:
        """End all."""
        for wire in (self.front, self.link):
            wire.close()
        for server in (self.master, self.replica):
            server.kill()


class Watched:
    """A master and its replica under Sentinels, which fail over by themselves within seconds."""

    def __init__(self, folder: Path, sentinels: int = 3) -> None:
        self.servers = [start_valkey(folder / name, settings=AT_ONCE) for name in ("master", "replica")]
        with admin(self.servers[1].port) as client:
            client.replicaof("127.0.0.1", self.servers[0].port)
        self.sentinels = [self._sentinel(folder / f"sentinel{number}") for number in range(sentinels)]
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for _, port in self.sentinels)}/{SERVICE}/0"
        for _, port in self.sentinels:
            wait_for(lambda port=port: self._knows_all(port, sentinels), 30)

    def _sentinel(self, folder: Path):
        folder.mkdir(parents=True)
        port, file = process.free_port(), folder / "sentinel.conf"
        rules = ("down-after-milliseconds {} 1000", "failover-timeout {} 5000", "parallel-syncs {} 1")
        monitor = f"monitor {SERVICE} 127.0.0.1 {self.servers[0].port} {QUORUM}"
        lines = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", *(f"sentinel {rule.format(SERVICE)}" for rule in (monitor, *rules))]
        file.write_text("\n".join(lines) + "\n")
        with (folder / "log").open("wb") as output:
            return process.launch([valkey_argv(folder, port)[0], str(file), "--sentinel"], output=output), port

    def _knows_all(self, port: int, sentinels: int) -> bool:
        try:
            with admin(port) as client:
                state = client.sentinel_master(SERVICE)
        except redis.RedisError:
            return False
        return state["num-other-sentinels"] == sentinels - 1 and state["num-slaves"] == 1 and state["flags"] == "master"

    def close(self) -> None:
        """End all."""
        for running, _ in self.sentinels:
            process.kill(running)
        for server in self.servers:
            server.kill()


def _clustered() -> dict[str, str]:
    return {"cluster-enabled": "yes", "cluster-port": str(process.free_port())}


class Cluster:
    """A cluster of one node, or of more: the first has all slots until they move."""

    def __init__(self, folder: Path, nodes: int = 1) -> None:
        self.nodes = [start_valkey(folder / f"node{number}", settings=_clustered()) for number in range(nodes)]
        first = self.nodes[0]
        with admin(first.port) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
            for other in self.nodes[1:]:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus_of(other))
        for node in self.nodes:
            wait_for(lambda node=node: self._is_ready(node), 30)
        self.url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    def _is_ready(self, node: ValkeyServer) -> bool:
        with admin(node.port) as client:
            facts = client.execute_command("CLUSTER INFO")
        return facts["cluster_state"] == "ok" and facts["cluster_known_nodes"] == str(len(self.nodes))

    def move(self, slot: int) -> None:
        """The slot and all its keys go from the first node to the second."""
        source, target = (admin(node.port) for node in self.nodes[:2])
        with source, target:
            ids = [client.execute_command("CLUSTER", "MYID") for client in (source, target)]
            target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
            source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
            while keys := source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                source.execute_command("MIGRATE", "127.0.0.1", self.nodes[1].port, "", 0, 5_000, "KEYS", *keys)
            for client in (target, source):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])

    def close(self) -> None:
        """End all."""
        for node in self.nodes:
            node.kill()
