"""Whose turn it is, for the memory twin: lanes and their floor, pools in turn, tags; what is closed or paused has no turn.

choose.lua is the same, name by name.
"""

from __future__ import annotations

import dataclasses

from rateguard.engine.gate.codec import split_tree
from rateguard.engine.gate.contract import WorkClass
from rateguard.engine.gate.holders import Holders
from rateguard.engine.gate.room import Room
from rateguard.engine.lanes import Lane

FLOOR_CREDIT = 19
"""A lane with work is served after 19 grants to others: one in twenty, 5 %."""

NO_LANE = 9
"""Below the last lane."""


@dataclasses.dataclass(slots=True)
class Choosing:
    """The choice among the trees, for one run of the loop. credits: of (pool, lane), the grants to others since its last."""

    room: Room
    holders: Holders
    paused_lanes: dict[Lane, int]
    credits: dict[tuple[str, Lane], int]
    last_pool: str
    now_ms: int
    _closed_models: dict[str, int] = dataclasses.field(default_factory=dict)
    _closed_trees: set[str] = dataclasses.field(default_factory=set)

    def close_model(self, model: str, lane: Lane) -> None:
        """A list has no room in this run, for a lane and all below it."""
        self._closed_models[model] = min(lane, self._closed_models.get(model, NO_LANE))

    def close_tree(self, tree: str) -> None:
        """A tree has no turn in this run."""
        self._closed_trees.add(tree)

    def best_tree(self) -> str | None:
        """Lanes that are owed their floor first (the lowest first), else by lane, synchronous before jobs, pools in turn, tag.

        Tags are equal where one tenant waits for several models: there the user whose turn it is goes first, then the head that came first.
        """

        def rank(entry: tuple[str, int]) -> tuple[int, int, tuple[int, str], int]:
            tree, tag = entry
            _, work_class, lane = split_tree(tree)
            pool = self._pool(tree)
            owed = self.credits.get((pool, lane), 0) >= FLOOR_CREDIT
            return -lane if owed else lane, work_class, self._turn(pool), tag

        open_trees = [(tree, head[1]) for tree in sorted(self.room.trees) if (head := self._open_head(tree)) is not None]
        if not open_trees:
            return None
        ranks = [(rank(entry), entry[0]) for entry in open_trees]
        best = min(found for found, _ in ranks)
        level = [tree for found, tree in ranks if found == best]
        return level[0] if len(level) == 1 else min(level, key=lambda tree: (*self._came(tree), tree))

    def _turn(self, pool: str) -> tuple[int, str]:
        """Pools go round by name: first those behind the one served last, that one at the end."""
        return (0 if pool > self.last_pool else 1 if pool < self.last_pool else 2), pool

    def _came(self, tree: str) -> tuple[int, int]:
        """The tag of the user whose turn it is in a tree, and the order of his head job; 0 where a node has to be put right first."""
        tenant, _ = self.room.first_tenant(tree) or ("", 0)
        user, tag = self.room.first_user(tree, tenant) or ("", 0)
        _, order = self.room.leaves[tree, tenant, user].first() or ("", 0)
        return tag, order

    def _open_head(self, tree: str) -> tuple[str, int] | None:
        model, work_class, lane = split_tree(tree)
        if lane >= self._closed_models.get(model, NO_LANE) or tree in self._closed_trees or self._is_paused(lane):
            return None
        if work_class == WorkClass.JOB and self.holders.room(lane, self.now_ms) <= 0:
            return None
        return self.room.first_tenant(tree)

    def _is_paused(self, lane: Lane) -> bool:
        until_ms = self.paused_lanes.get(lane)
        return until_ms is not None and not 0 < until_ms <= self.now_ms

    def _pool(self, tree: str) -> str:
        return self.room.plane(tree)[:-4]

    def count_floor(self, tree: str) -> None:
        """Each other lane of the pool with an open head comes a step nearer to its floor."""
        pool, lane = self._pool(tree), split_tree(tree)[2]
        self.credits[pool, lane] = max(0, self.credits.get((pool, lane), 0) - FLOOR_CREDIT)
        waiting_lanes = {split_tree(t)[2] for t in sorted(self.room.trees) if self._pool(t) == pool and self._open_head(t) is not None} - {
            lane
        }
        for other in waiting_lanes:
            self.credits[pool, other] = min(2 * FLOOR_CREDIT, self.credits.get((pool, other), 0) + 1)
        self.last_pool = pool
