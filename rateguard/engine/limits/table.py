"""All limits of a memory gate: records by id, states by id, and the states that nodes have by a default. limits.lua is the same.

A default is a record without a state of its own; `l17@user:alice` is the state that a node has by it. Such a state comes into being when
it is charged and goes when it is void, so a node that nobody uses costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rateguard.engine.limits.edits import edited, new_state
from rateguard.engine.limits.limit import Kind, LimitRecord
from rateguard.engine.limits.states import LimitState

SWEEP = 200
"""States looked at in one sweep."""


class LimitTable:
    """Records and states. live: by default state, (when to ask whether it is void, whose it is)."""

    def __init__(self) -> None:
        self.records: dict[str, LimitRecord] = {}
        self.states: dict[str, LimitState] = {}
        self.live: dict[str, tuple[int, str]] = {}
        self.nodes: Counter[str] = Counter()

    def get(self, limit_id: str, now_ms: int) -> LimitState | None:
        """The state of a limit as of now; a fresh one for a node that has it by a default; None where no such limit exists."""
        state = self.states.get(limit_id)
        if state is None:
            record = self.records.get(limit_id.partition("@")[0])
            if record is None:
                return None
            state = new_state(record)
        state.advance(now_ms)
        return state

    def find(self, ids: tuple[str, ...], now_ms: int) -> Iterator[tuple[str, LimitState]]:
        """Those of the ids that exist."""
        for limit_id in ids:
            state = self.get(limit_id, now_ms)
            if state is not None:
                yield limit_id, state

    def named(self, ids: Iterable[str], most: int) -> tuple[set[str], tuple[tuple[str, int], ...]]:
        """The ids, with those of nodes in place of `l17@*`, at most so many of each; and how many nodes have each such default."""
        found: set[str] = set()
        counts = []
        for limit_id in ids:
            default, _, node = limit_id.partition("@")
            if node == "*":
                states = sorted(one for one in self.live if one.startswith(f"{default}@"))
                found.update(states[:most])
                counts.append((default, len(states)))
            else:
                found.add(limit_id)
        return found, tuple(sorted(counts))

    def keep(self, limit_id: str, state: LimitState, tenant: str, now_ms: int) -> None:
        """A state was changed: it lives from now on."""
        if limit_id not in self.states:
            self.states[limit_id] = state
            if "@" in limit_id:
                self.live[limit_id] = (now_ms + state.look_again_ms(), tenant)
                self.nodes[tenant] += 1

    def is_new_node(self, limit_id: str) -> bool:
        """Whether charging it would bring a node to life."""
        return "@" in limit_id and limit_id not in self.states

    def write(self, record: LimitRecord, now_ms: int) -> list[str]:
        """A new or changed record. Returns the ids of its states under which something is parked."""
        old = self.records.get(record.id)
        if old == record:
            return []
        self.records[record.id] = record
        if old is None:
            self.states[record.id] = new_state(record)
            return []
        affected = [found for found in self.states if found.partition("@")[0] == record.id]
        for limit_id in affected:
            self.states[limit_id] = edited(self.states[limit_id], record, now_ms)
        return [limit_id for limit_id in sorted(affected) if self.states[limit_id].has_parked]

    def states_of(self, record_id: str) -> list[str]:
        """The limit's own state and those that nodes have by it."""
        return sorted(found for found in self.states if found.partition("@")[0] == record_id)

    def forget(self, record_id: str) -> None:
        """The limit no longer exists."""
        for limit_id in self.states_of(record_id):
            self._drop(limit_id)
        self.records.pop(record_id, None)

    def sweep(self, now_ms: int) -> None:
        """Drop default states that say nothing any more; the others are asked again later."""
        due = sorted((at, limit_id) for limit_id, (at, _) in self.live.items() if at <= now_ms)[:SWEEP]
        for _, limit_id in due:
            state = self.states[limit_id]
            state.advance(now_ms)
            if state.is_void(now_ms):
                self._drop(limit_id)
            else:
                self.live[limit_id] = (now_ms + state.look_again_ms(), self.live[limit_id][1])

    def charged(self, ids: tuple[str, ...], now_ms: int) -> list[tuple[str, LimitState]]:
        """Those that an attempt is charged to: all but pauses."""
        return [(limit_id, state) for limit_id, state in self.find(ids, now_ms) if state.record.kind != Kind.PAUSE]

    def _drop(self, limit_id: str) -> None:
        self.states.pop(limit_id)
        found = self.live.pop(limit_id, None)
        if found is not None:
            self.nodes[found[1]] -= 1
