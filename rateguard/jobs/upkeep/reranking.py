"""The ranking of deployments by what the gate has seen: worked out anew, and written to the gate where it changed."""

from __future__ import annotations

import dataclasses

from rateguard import wiring
from rateguard.engine.gate.contract import Gate, ModelRecord


class Reranking:
    """Remembers what the gate was told, so that it is told no list twice. Another version of the configuration begins anew."""

    def __init__(self) -> None:
        self._version = -1
        self._told: dict[str, ModelRecord] = {}

    def forget(self) -> None:
        """Everything was written by somebody: what stands in the gate is not known."""
        self._told.clear()

    def go_on(self, gate: Gate) -> int:
        """Rank anew. Returns how many lists were written. Raises GateError."""
        found = wiring.ranks()
        if found is None:
            return 0
        if found.version != self._version:
            self._told, self._version = {}, found.version
        changed = tuple(one for one in found.models if self._told.get(one.name) != one)
        if changed:
            gate.configure(dataclasses.replace(found, models=changed))
            self._told.update((one.name, one) for one in changed)
        return len(changed)
