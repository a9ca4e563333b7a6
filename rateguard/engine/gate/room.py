"""The waiting room of the memory twin: trees (model, class, lane) → tenants → leaves → jobs, and the nodes parked under limits.

room.lua is the same, name by name. Fair order is start-time fair queuing: a node's tag is where its next token starts; a node that comes
back starts at the later of the virtual time and its own finish, so idle time earns nothing. Models of one pool share tenants' finish tags.
"""

from __future__ import annotations

from collections import defaultdict

from rateguard.engine.gate.codec import node_name, pack_member, split_tree, tree_name
from rateguard.engine.gate.contract import ModelRecord, PathRecord, Waiting
from rateguard.engine.gate.ordered import SortedSet
from rateguard.engine.limits.limit import Level
from rateguard.engine.limits.states import LimitState

SECOND_LOOK_MS = 100
"""A limit that woke one node and still has parked ones is looked at again after this long."""

LANE_RANK = 10**15
"""Parked nodes stand in order of lane, then tag; tags stay below this."""


class Room:
    """Who waits, in which order, and who is parked where."""

    def __init__(self) -> None:
        self.paths: dict[str, PathRecord] = {}
        self.models: dict[str, ModelRecord] = {}
        self.trees: set[str] = set()
        self.tenants: dict[str, SortedSet[str]] = defaultdict(SortedSet)
        self.leaves: dict[tuple[str, str], SortedSet[str]] = defaultdict(SortedSet)
        self.jobs: dict[tuple[str, str], SortedSet[bytes]] = defaultdict(SortedSet)
        self.finish: dict[str, dict[str, int]] = defaultdict(dict)
        self.virtual: dict[str, int] = defaultdict(int)
        self.leaf_finish: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        self.leaf_virtual: dict[tuple[str, str], int] = defaultdict(int)
        self.parked: dict[str, SortedSet[str]] = defaultdict(SortedSet)
        self.parked_at: dict[str, str] = {}
        self.parked_jobs: dict[str, SortedSet[bytes]] = defaultdict(SortedSet)
        self.parked_job_place: dict[tuple[str, bytes], tuple[str, str, int]] = {}
        self.wake: SortedSet[str] = SortedSet()
        self.waiting = 0

    def plane(self, tree: str) -> str:
        """What shares finish tags: (pool, class, lane)."""
        model, work_class, lane = split_tree(tree)
        record = self.models.get(model)
        return tree_name(record.pool if record else model, work_class, lane)

    # ---- coming in and going out

    def enqueue(self, job: Waiting) -> bool:
        """Let a job wait, once. False: its path is not configured."""
        path = self.paths.get(job.path)
        if path is None:
            return False
        tree, member = tree_name(job.model, job.work_class, job.lane), pack_member(job)
        if any(member in self.parked_jobs[limit] for limit in path.limits if limit in self.parked_jobs):
            return True
        if self.jobs[tree, job.path].add(member, job.order_ms, only_new=True):
            self.waiting += 1
            self.leaf_ready(tree, path.tenant, job.path)
        return True

    def withdraw(self, job: Waiting) -> None:
        """Take a waiting job out, wherever it stands."""
        path = self.paths.get(job.path)
        if path is None:
            return
        tree, member = tree_name(job.model, job.work_class, job.lane), pack_member(job)
        if self.jobs[tree, job.path].remove(member):
            self.waiting -= 1
        for limit in path.limits:
            if limit in self.parked_jobs and self.parked_jobs[limit].remove(member):
                del self.parked_job_place[limit, member]
                self.waiting -= 1

    def take_job(self, tree: str, path: str, member: bytes) -> None:
        """A job leaves its leaf for good (granted or refused)."""
        self.jobs[tree, path].remove(member)
        self.waiting -= 1

    # ---- ready nodes

    def leaf_ready(self, tree: str, tenant: str, path: str) -> None:
        """A leaf has work: it stands among its tenant's, unless it is parked or stands there already."""
        if node_name(tree, tenant, path) in self.parked_at:
            return
        leaves = self.leaves[tree, tenant]
        if path not in leaves:
            finish = self.leaf_finish[tree, tenant].get(path, 0)
            leaves.add(path, max(self.leaf_virtual[tree, tenant], finish))
        self.tenant_ready(tree, tenant)

    def tenant_ready(self, tree: str, tenant: str) -> None:
        """A tenant has a ready leaf: it stands in the tree, unless it is parked or stands there already."""
        if node_name(tree, tenant) in self.parked_at or tenant in self.tenants[tree]:
            return
        plane = self.plane(tree)
        self.tenants[tree].add(tenant, max(self.virtual[plane], self.finish[plane].get(tenant, 0)))
        self.trees.add(tree)

    def first_tenant(self, tree: str) -> tuple[str, int] | None:
        """The tenant whose turn it is, with its tag; a tree without one is no longer looked at.

        Who was served through another model of the pool first gets his newer tag.
        """
        tenants, finish = self.tenants[tree], self.finish[self.plane(tree)]
        while (found := tenants.first()) and finish.get(found[0], 0) > found[1]:
            tenants.add(found[0], finish[found[0]])
        if found is None:
            self.trees.discard(tree)
        return found

    def drop_tenant(self, tree: str, tenant: str) -> None:
        """A tenant has no ready leaf in this tree."""
        self.tenants[tree].remove(tenant)
        self.leaves.pop((tree, tenant), None)
        self.leaf_finish.pop((tree, tenant), None)
        self.leaf_virtual.pop((tree, tenant), None)

    def drop_leaf(self, tree: str, tenant: str, path: str) -> None:
        """A leaf has no work."""
        self.jobs.pop((tree, path), None)
        self.leaves[tree, tenant].remove(path)
        if not self.leaves[tree, tenant]:
            self.drop_tenant(tree, tenant)

    def advance_tags(self, tree: str, tenant: str, path: str, cost: int, weight: int) -> None:
        """A job of this leaf was granted: virtual times reach its start tags, its nodes' tags move on by its cost."""
        plane = self.plane(tree)
        tenant_tag = self.tenants[tree].score(tenant) or 0
        leaf_tag = self.leaves[tree, tenant].score(path) or 0
        self.virtual[plane] = max(self.virtual[plane], tenant_tag)
        self.leaf_virtual[tree, tenant] = leaf_tag
        self.finish[plane][tenant] = tenant_tag + cost // weight
        self.leaf_finish[tree, tenant][path] = leaf_tag + cost
        self.tenants[tree].add(tenant, self.finish[plane][tenant])
        self.leaves[tree, tenant].add(path, leaf_tag + cost)
        if not self.jobs[tree, path]:
            self.drop_leaf(tree, tenant, path)

    # ---- parking

    def park(self, limit: LimitState, tree: str, tenant: str, path: str, opens_at: int | None) -> None:
        """Take the highest node wholly under the limit out of the ready ones until the limit opens."""
        lane = split_tree(tree)[2]
        if limit.record.level == Level.TENANT:
            node, tag = node_name(tree, tenant), self.tenants[tree].score(tenant) or 0
            self.tenants[tree].remove(tenant)
        else:
            node, tag = node_name(tree, tenant, path), self.leaves[tree, tenant].score(path) or 0
            self.leaves[tree, tenant].remove(path)
            if not self.leaves[tree, tenant]:
                self.tenants[tree].remove(tenant)
        self.parked[limit.record.id].add(node, lane * LANE_RANK + tag)
        self.parked_at[node] = limit.record.id
        limit.has_parked = True
        limit.opens_at = opens_at or 0
        self.wake_at(limit, opens_at)

    def wake_at(self, limit: LimitState, at_ms: int | None) -> None:
        """Set the moment at which the limit's first parked node is looked at; None: only a settle wakes it."""
        if at_ms is None:
            self.wake.remove(limit.record.id)
        else:
            self.wake.add(limit.record.id, at_ms)

    def unpark(self, limit: LimitState) -> None:
        """The first node parked under the limit is ready again; under a tenant's limit all that stand level with it, his other models."""
        parked = self.parked[limit.record.id]
        first = parked.first()
        nodes = parked.between(first[1], first[1]) if first and limit.record.level == Level.TENANT else [first[0]] if first else []
        for node in nodes:
            parked.remove(node)
            del self.parked_at[node]
            self._node_ready(*node.split("\n"))
        if not parked:
            limit.has_parked = False

    def _node_ready(self, tree: str, tenant: str, path: str) -> None:
        if path and self.jobs[tree, path]:
            self.leaf_ready(tree, tenant, path)
        elif not path and self.leaves[tree, tenant]:
            self.tenant_ready(tree, tenant)

    def first_parked_lane(self, limit: LimitState) -> int:
        """The lane of the first node parked under a limit; beyond the last lane where there is none."""
        found = self.parked[limit.record.id].first()
        return found[1] // LANE_RANK if found else 9

    def park_job(self, budget: LimitState, tree: str, path: str, member: bytes, cost: int) -> None:
        """A job that does not fit the rest of a budget steps aside; it blocks nobody. Ordered by cost."""
        order = self.jobs[tree, path].score(member) or 0
        self.jobs[tree, path].remove(member)
        self.parked_jobs[budget.record.id].add(member, cost)
        self.parked_job_place[budget.record.id, member] = (tree, path, order)
        budget.has_parked = True

    def unpark_jobs(self, budget: LimitState, members: list[bytes]) -> None:
        """Jobs of a budget go back to their leaves."""
        for member in members:
            self.parked_jobs[budget.record.id].remove(member)
            tree, path, order = self.parked_job_place.pop((budget.record.id, member))
            self.jobs[tree, path].add(member, order)
            record = self.paths.get(path)
            if record is not None:
                self.leaf_ready(tree, record.tenant, path)
        if not self.parked_jobs[budget.record.id]:
            budget.has_parked = False
