"""The lists of models: by name, by marks, and whose turn it is in each, for the memory twin. lists.lua is the same, name by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rateguard.engine.gate.codec import pack_reservation
from rateguard.engine.gate.contract import DeploymentRecord, ModelRecord, ReservationId
from rateguard.engine.routing import marks
from rateguard.engine.routing.contract import Mode
from rateguard.engine.routing.turns import lot, next_turn


class Lists:
    """records: by name without marks. standings: of each list that takes turns, deployment → what it has to its credit."""

    def __init__(self) -> None:
        self.records: dict[str, ModelRecord] = {}
        self.standings: dict[str, dict[str, int]] = {}

    def get(self, name: str) -> ModelRecord | None:
        """The list of this name; one with marks is derived from the record that it is of, whose name it keeps."""
        base, marked = marks.split(name)
        record = self.records.get(base)
        if record is None or not marked:
            return record
        return dataclasses.replace(record, deployments=marks.apply(marks.read(marked), record.deployments))

    def pool(self, name: str) -> str:
        """Where tenants share across lists: that of the record, whatever the marks."""
        record = self.records.get(marks.split(name)[0])
        return record.pool if record else name

    def deployment(self, name: str, deployment: str) -> DeploymentRecord | None:
        """A deployment of a list, where it is in it still; marks hide none."""
        record = self.records.get(marks.split(name)[0])
        return record.deployment(deployment) if record else None

    def write(self, record: ModelRecord) -> None:
        """A list as it is now. Who left it has no turn in it any more."""
        self.records[record.name] = record
        kept = {one.id for one in record.deployments}
        standing = {one: credit for one, credit in self.standings.pop(record.name, {}).items() if one in kept}
        if standing:
            self.standings[record.name] = standing

    def forget(self, name: str) -> None:
        """A list that is no more."""
        self.records.pop(name, None)
        self.standings.pop(name, None)

    def choose(self, record: ModelRecord, fitting: Sequence[DeploymentRecord], reservation: ReservationId) -> DeploymentRecord:
        """Which of those with room takes an attempt: the first, the one whose turn it is, or the one on which its lot falls."""
        if record.mode == Mode.FIRST or len(fitting) == 1:
            return fitting[0]
        weights = [(one.id, one.weight) for one in fitting]
        if record.mode == Mode.TURNS:
            chosen = next_turn(self.standings.setdefault(record.name, {}), weights)
        else:
            chosen = lot(pack_reservation(reservation), weights)
        return next(one for one in fitting if one.id == chosen)
