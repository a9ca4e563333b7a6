"""Who is alive and how much they can take, for the memory twin. holders.lua is the same, name by name."""

from __future__ import annotations

import dataclasses

from rateguard.engine.gate.contract import MOST_NODES, Holder
from rateguard.engine.lanes import Lane

GAP_SHARE = 2
"""A silence of all heartbeats and of all who ask for them, longer than dead_after ÷ GAP_SHARE, means that the gate itself was away."""

LEFT = -1
"""The heartbeat of a holder that stopped by itself."""


@dataclasses.dataclass(frozen=True, slots=True)
class GateSettings:
    """How patient the gate is.

    send_by_ms: how long a grant may stay unsent. dead_after_ms: the silence of a dead holder. unsent_per_worker: grants ahead of a worker.
    most_nodes: live nodes of a tenant.
    """

    send_by_ms: int = 5_000
    dead_after_ms: int = 12_000
    unsent_per_worker: int = 100
    most_nodes: int = MOST_NODES


class Holders:
    """Heartbeats, claimed jobs by holder and unsent grants by lane."""

    def __init__(self, settings: GateSettings) -> None:
        self.settings = settings
        self.records: dict[str, Holder] = {}
        self.beats: dict[str, int] = {}
        self.running: dict[str, int] = {}
        self.unsent: dict[Lane, int] = dict.fromkeys(Lane, 0)
        self.last_heard = 0
        self.resumed_at = 0

    def beat(self, holder: Holder, now_ms: int) -> None:
        """A holder lives."""
        self.note_gap(now_ms)
        self.records[holder.id] = holder
        self.beats[holder.id] = now_ms

    def note_gap(self, now_ms: int) -> None:
        """Somebody asks or beats. After a silence of all, nobody is called dead before a whole dead_after has passed."""
        if now_ms - self.last_heard > self.settings.dead_after_ms // GAP_SHARE:
            self.resumed_at = now_ms
        self.last_heard = now_ms

    def is_alive(self, holder: str, now_ms: int) -> bool:
        """Whether a holder was heard in time."""
        beat = self.beats.get(holder, 0)
        if beat == LEFT:
            return False
        heard = max(beat, self.resumed_at)
        return now_ms - heard <= self.settings.dead_after_ms

    def room(self, lane: Lane, now_ms: int) -> int:
        """How many more jobs of a lane may be granted: free slots of the live workers that serve it, and the bound on unsent grants."""
        serving = [h for h in self.records.values() if lane in h.lanes and h.slots and self._takes_work(h.id, now_ms)]
        reached = {served for holder in serving for served in holder.lanes}
        unsent = sum(self.unsent[served] for served in reached)
        free = sum(max(0, holder.slots - self.running.get(holder.id, 0)) for holder in serving)
        return min(free, self.settings.unsent_per_worker * len(serving)) - unsent

    def _takes_work(self, holder: str, now_ms: int) -> bool:
        return now_ms - self.beats.get(holder, 0) <= self.settings.dead_after_ms

    def claim(self, holder: str) -> None:
        """A holder holds something. Where it was never heard (a rebuild), its silence counts from the rebuild on."""
        self.beats.setdefault(holder, 0)

    def leave(self, holder: str) -> None:
        """A holder stops by itself: it is as silent as a dead one from now on."""
        self.records.pop(holder, None)
        self.beats[holder] = LEFT

    def forget(self, holder: str) -> None:
        """A dead holder holds nothing any more."""
        self.records.pop(holder, None)
        self.beats.pop(holder, None)
        self.running.pop(holder, None)
