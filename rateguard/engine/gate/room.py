"""The waiting room of the memory twin: trees (model, class, lane) → tenants → users → leaves → jobs, and the nodes parked under limits.

room.lua is the same, name by name. Fair order is start-time fair queuing: a node's tag is where its next token starts; a node that comes
back starts at the later of the virtual time and its own finish, so idle time earns nothing. A plane — the models of one pool, a class and a
lane — shares virtual times and finish tags, of tenants and of the users inside a tenant. A user's leaves (his paths) stand in the order of
their head jobs: the earliest deadline, then first come.
"""

from __future__ import annotations

from collections import defaultdict

from rateguard.engine import scopes
from rateguard.engine.gate.codec import node_name, order_of, pack_member, split_tree, tree_name
from rateguard.engine.gate.contract import Waiting, WorkClass
from rateguard.engine.gate.lists import Lists
from rateguard.engine.gate.ordered import SortedSet
from rateguard.engine.gate.paths import Path, Paths
from rateguard.engine.limits.limit import Level
from rateguard.engine.limits.states import HOUR_MS, LimitState
from rateguard.engine.limits.table import LimitTable

SECOND_LOOK_MS = 100
"""A limit that woke one node and still has parked ones is looked at again after this long."""

LANE_RANK, JOB_RANK = 10**15, 5 * 10**14
"""Parked nodes stand in order of lane, then synchronous calls before jobs, then tag, which counts up to JOB_RANK."""

WAKE_NODES = 1_000
"""A pause that is over lets so many nodes go at a time."""

Place = tuple[str, str]


class Room:
    """Who waits, in which order, and who is parked where."""

    def __init__(self, limits: LimitTable) -> None:
        self.table = limits
        self.paths = Paths()
        self.lists = Lists()
        self.trees: set[str] = set()
        self.tenants: dict[str, SortedSet[str]] = defaultdict(SortedSet)
        self.users: dict[Place, SortedSet[str]] = defaultdict(SortedSet)
        self.leaves: dict[tuple[str, str, str], SortedSet[str]] = defaultdict(SortedSet)
        self.jobs: dict[Place, SortedSet[bytes]] = defaultdict(SortedSet)
        self.finish: dict[str, dict[str, int]] = defaultdict(dict)
        self.virtual: dict[str, int] = defaultdict(int)
        self.user_finish: dict[tuple[int, Place], dict[str, int]] = defaultdict(dict)
        self.user_virtual: dict[Place, int] = defaultdict(int)
        self.parked: dict[str, SortedSet[str]] = defaultdict(SortedSet)
        self.parked_at: dict[str, tuple[str, str]] = {}
        self.parked_jobs: dict[str, SortedSet[bytes]] = defaultdict(SortedSet)
        self.parked_job_place: dict[tuple[str, bytes], tuple[str, str, int]] = {}
        self.wake: SortedSet[str] = SortedSet()
        self.waiting = 0
        self.now_ms = 0
        self.hour = 0

    def go_on(self, now_ms: int) -> None:
        """It is now: finish tags of users who were not served in this hour or the last are forgotten."""
        self.now_ms, self.hour = now_ms, now_ms // HOUR_MS
        for hour, place in [kept for kept in self.user_finish if kept[0] < self.hour - 1]:
            del self.user_finish[hour, place]

    def plane(self, tree: str) -> str:
        """What shares finish tags: (pool, class, lane)."""
        model, work_class, lane = split_tree(tree)
        return tree_name(self.lists.pool(model), work_class, lane)

    # ---- coming in and going out

    def enqueue(self, job: Waiting) -> bool:
        """Let a job wait, once. False: its path is not configured."""
        path = self.paths.resolve(job.path)
        if path is None:
            return False
        tree, member = tree_name(job.model, job.work_class, job.lane), pack_member(job)
        if any((limit, member) in self.parked_job_place for limit in path.limits):
            return True
        if self.jobs[tree, job.path].add(member, order_of(job), only_new=True):
            self.waiting += 1
            self.leaf_ready(tree, job.path)
        return True

    def withdraw(self, job: Waiting) -> None:
        """Take a waiting job out, wherever it stands."""
        tree, member = tree_name(job.model, job.work_class, job.lane), pack_member(job)
        if self.jobs[tree, job.path].remove(member):
            self.waiting -= 1
        path = self.paths.resolve(job.path)
        for limit in path.limits if path else ():
            if (limit, member) in self.parked_job_place:
                self.parked_jobs[limit].remove(member)
                del self.parked_job_place[limit, member]
                self.waiting -= 1
        self._look_again(tree, job.path)

    def _look_again(self, tree: str, path: str) -> None:
        """A job left: a node may have been parked for it, and nobody behind needs to wait for it any more."""
        tenant = scopes.tenant_of(path)
        for node in (node_name(tree, tenant), node_name(tree, tenant, path)):
            if node in self.parked_at:
                limit_id, _ = self.parked_at[node]
                self.table.states[limit_id].opens_at = 0
                self.wake_at(limit_id, self.now_ms)

    def take_job(self, tree: str, path: str, member: bytes) -> None:
        """A job leaves its leaf for good (granted or refused)."""
        self.jobs[tree, path].remove(member)
        self.waiting -= 1
        self.put_right(tree, path)

    # ---- ready nodes

    def leaf_ready(self, tree: str, path: str) -> None:
        """A leaf has work: it stands among its user's at its head's order, unless it is parked."""
        tenant, user = scopes.tenant_of(path), scopes.user_of(path)
        if node_name(tree, tenant, path) in self.parked_at:
            return
        head = self.jobs[tree, path].first()
        if head is not None:
            self.leaves[tree, tenant, user].add(path, head[1])
            self.user_ready(tree, tenant, user)

    def user_ready(self, tree: str, tenant: str, user: str) -> None:
        """A user has a ready leaf: he stands among the tenant's users, unless he stands there already."""
        if user not in self.users[tree, tenant]:
            place = self.plane(tree), tenant
            self.users[tree, tenant].add(user, max(self.user_virtual[place], self.finish_of_user(place, user)))
        self.tenant_ready(tree, tenant)

    def tenant_ready(self, tree: str, tenant: str) -> None:
        """A tenant has a ready user: he stands in the tree, unless he is parked or stands there already."""
        if node_name(tree, tenant) in self.parked_at or tenant in self.tenants[tree]:
            return
        plane = self.plane(tree)
        self.tenants[tree].add(tenant, max(self.virtual[plane], self.finish[plane].get(tenant, 0)))
        self.trees.add(tree)

    def first_tenant(self, tree: str) -> tuple[str, int] | None:
        """The tenant whose turn it is, with his tag; a tree without one is no longer looked at.

        Who was served through another model of the pool first gets his newer tag.
        """
        tenants, finish = self.tenants[tree], self.finish[self.plane(tree)]
        while (found := tenants.first()) and finish.get(found[0], 0) > found[1]:
            tenants.add(found[0], finish[found[0]])
        if found is None:
            self.trees.discard(tree)
        return found

    def first_user(self, tree: str, tenant: str) -> tuple[str, int] | None:
        """The same for the users of a tenant."""
        users, place = self.users[tree, tenant], (self.plane(tree), tenant)
        while (found := users.first()) and self.finish_of_user(place, found[0]) > found[1]:
            users.add(found[0], self.finish_of_user(place, found[0]))
        return found

    def finish_of_user(self, place: Place, user: str) -> int:
        """Where a user's next token starts, by what he was served in this hour or the last."""
        return self.user_finish[self.hour, place].get(user) or self.user_finish[self.hour - 1, place].get(user, 0)

    def drop_tenant(self, tree: str, tenant: str) -> None:
        """A tenant has no ready user in this tree."""
        self.tenants[tree].remove(tenant)
        self.users.pop((tree, tenant), None)

    def drop_user(self, tree: str, tenant: str, user: str) -> None:
        """A user has no ready leaf."""
        self.leaves.pop((tree, tenant, user), None)
        self.users[tree, tenant].remove(user)
        if not self.users[tree, tenant]:
            self.drop_tenant(tree, tenant)

    def drop_leaf(self, tree: str, path: str) -> None:
        """A leaf has no work, or is parked."""
        place = tree, scopes.tenant_of(path), scopes.user_of(path)
        self.leaves[place].remove(path)
        if not self.leaves[place]:
            self.drop_user(*place)

    def put_right(self, tree: str, path: str) -> bool:
        """A leaf stands where its head job belongs. False: it had to be moved, or had no job."""
        leaves, head = self.leaves[tree, scopes.tenant_of(path), scopes.user_of(path)], self.jobs[tree, path].first()
        if head is None:
            self.jobs.pop((tree, path))
            self.drop_leaf(tree, path)
            return False
        is_right = leaves.score(path) == head[1]
        leaves.add(path, head[1])
        return is_right

    def advance_tags(self, tree: str, path: Path, cost: int) -> None:
        """A job of this path was granted: virtual times reach its start tags, its nodes' tags move on by its cost."""
        plane, tenant, user = self.plane(tree), path.tenant, path.user
        tenant_tag, user_tag = self.tenants[tree].score(tenant) or 0, self.users[tree, tenant].score(user) or 0
        self.virtual[plane] = max(self.virtual[plane], tenant_tag)
        self.user_virtual[plane, tenant] = max(self.user_virtual[plane, tenant], user_tag)
        self.finish[plane][tenant] = tenant_tag + cost // path.weight
        self.user_finish[self.hour, (plane, tenant)][user] = user_ends = user_tag + cost // path.user_weight
        self.tenants[tree].add(tenant, self.finish[plane][tenant])
        self.users[tree, tenant].add(user, user_ends)

    # ---- parking

    def park(self, limit_id: str, limit: LimitState, tree: str, path: Path, order: int, opens_at: int | None) -> None:
        """Take the highest node wholly under the limit out of the ready ones until the limit opens."""
        (_, work_class, lane), tenant = split_tree(tree), path.tenant
        if limit.record.level == Level.TENANT:
            node, tag = node_name(tree, tenant), self.tenants[tree].score(tenant) or 0
            self.tenants[tree].remove(tenant)
        else:
            node, tag = node_name(tree, tenant, path.id), self.users[tree, tenant].score(path.user) or 0
            self.drop_leaf(tree, path.id)
        member = f"{order:016d}{node}"  # where tags are equal, the head that came first is looked at first
        rank = lane * LANE_RANK + (JOB_RANK if work_class == WorkClass.JOB else 0)
        self.parked[limit_id].add(member, rank + min(tag, JOB_RANK - 1))
        self.parked_at[node] = limit_id, member
        limit.has_parked = True
        limit.opens_at = opens_at or 0
        self.wake_at(limit_id, opens_at)

    def wake_at(self, limit_id: str, at_ms: int | None) -> None:
        """Set the moment at which what is parked under the limit is looked at; None: only a settle wakes it."""
        if at_ms is None:
            self.wake.remove(limit_id)
        else:
            self.wake.add(limit_id, at_ms)

    def wake_by(self, limit_id: str, at_ms: int) -> None:
        """What is parked under the limit is looked at by this moment at the latest."""
        self.wake.add(limit_id, min(at_ms, self.wake.score(limit_id) or at_ms))

    def unpark(self, limit_id: str, limit: LimitState, most: int = 1) -> None:
        """The first nodes parked under the limit are ready again."""
        parked = self.parked[limit_id]
        for _ in range(most):
            first = parked.first()
            if first is None:
                break
            parked.remove(first[0])
            node = first[0][16:]
            del self.parked_at[node]
            self._node_ready(*node.split("\n"))
        if not parked:
            limit.has_parked = False

    def _node_ready(self, tree: str, tenant: str, path: str) -> None:
        if path:
            self.leaf_ready(tree, path)
        elif self.users[tree, tenant]:
            self.tenant_ready(tree, tenant)

    def first_parked_lane(self, limit_id: str) -> int:
        """The lane of the first node parked under a limit; beyond the last lane where there is none."""
        found = self.parked[limit_id].first()
        return found[1] // LANE_RANK if found else 9

    def park_job(self, budget_id: str, budget: LimitState, tree: str, path: Path, member: bytes, rest: int) -> None:
        """A job that does not fit the rest of a budget steps aside; it blocks nobody. Ordered by the rest with which it fits."""
        order = self.jobs[tree, path.id].score(member) or 0
        self.jobs[tree, path.id].remove(member)
        self.parked_jobs[budget_id].add(member, rest)
        self.parked_job_place[budget_id, member] = (tree, path.id, order)
        self.put_right(tree, path.id)
        budget.has_parked = True

    def unpark_jobs(self, budget_id: str, budget: LimitState, members: list[bytes]) -> None:
        """Jobs of a budget go back to their leaves."""
        for member in members:
            self.parked_jobs[budget_id].remove(member)
            tree, path, order = self.parked_job_place.pop((budget_id, member))
            self.jobs[tree, path].add(member, order)
            self.leaf_ready(tree, path)
        if not self.parked_jobs[budget_id]:
            budget.has_parked = False

    def free_parked(self, limit_id: str) -> None:
        """All that is parked under a limit is tried again."""
        limit = self.table.states.get(limit_id)
        if limit is None or not limit.has_parked:
            return
        self.unpark_jobs(limit_id, limit, list(self.parked_jobs[limit_id]))
        self.unpark(limit_id, limit, len(self.parked[limit_id]))
        self.wake.remove(limit_id)
