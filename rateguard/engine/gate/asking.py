"""Which deployments of a list a job may go to now, for the memory twin. asking.lua is the same, name by name. A pure function.

Tiers are asked in order, each only where none before has room; inside a tier those that take all before those that take only what has
waited. That wait gives the others time: where all that could ever take a job only wait, the first of them takes it now.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rateguard.engine.gate.contract import DeploymentRecord, ModelRecord
from rateguard.engine.limits.states import FOREVER, NEVER
from rateguard.engine.routing.contract import Mode


@dataclasses.dataclass(slots=True)
class Asked:
    """What the deployments of a list answered.

    fitting: those among which one takes the job. Where there is none: never: a limit that it can never pass, of the first such; blocked:
    (what is in the way, for how long) of the others, in order. is_held: one of them would take it but for its wait.
    """

    fitting: list[DeploymentRecord] = dataclasses.field(default_factory=list)
    never: str = ""
    blocked: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    is_held: bool = False

    @property
    def shortest(self) -> tuple[int, str]:
        """(how long, what) of the least that is in the way; of equals the last."""
        shortest, binding = FOREVER, ""
        for blocker, wait in self.blocked:
            if wait <= shortest:
                shortest, binding = wait, blocker
        return shortest, binding


def ask(model: ModelRecord, waited_ms: int, wait_of: Callable[[DeploymentRecord], tuple[int, str]]) -> Asked:
    """Ask a list's deployments. waited_ms: since the job came. wait_of: (longest wait, what is in the way) at a deployment."""
    asked, held = Asked(), []
    for deployment in model.deployments:
        if asked.fitting and (model.mode == Mode.FIRST or not _are_level(deployment, asked.fitting[0])):
            break
        wait, blocker = wait_of(deployment)
        if wait == NEVER:
            asked.never = asked.never or blocker
            continue
        early = deployment.after_ms - waited_ms if deployment.after_ms else 0
        if early > wait:
            held += [deployment] if wait == 0 else []
            wait, blocker = early, f"after:{deployment.id}"
        if wait == 0:
            asked.fitting.append(deployment)
        else:
            asked.blocked.append((blocker, wait))
    asked.is_held = bool(held)
    if held and not asked.fitting and len(held) == len(asked.blocked):
        asked.fitting = [one for one in held if _are_level(one, held[0])]
    return asked


def _are_level(one: DeploymentRecord, other: DeploymentRecord) -> bool:
    return (one.tier, one.after_ms) == (other.tier, other.after_ms)
