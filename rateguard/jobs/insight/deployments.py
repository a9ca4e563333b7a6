"""How deployments stand, whichever there are: their limits and their accounts', cooldowns and breakers, from one call of the gate."""

from __future__ import annotations

from collections.abc import Sequence

from rateguard import wiring
from rateguard.engine.money import Price
from rateguard.engine.providers.base import Target
from rateguard.jobs.insight.binding import DeploymentState
from rateguard.jobs.insight.effective import deployment_states, place_sources
from tenants.directory import Place
from tenants.models import Deployment


def states_of(rows: Sequence[Deployment]) -> dict[int, DeploymentState]:
    """By deployment; with their accounts read already. Raises GateError."""
    places = [_place(row) for row in rows]
    sources = place_sources(places)
    ids = dict.fromkeys(one.record.id for found in sources.values() for one in found)
    return {state.id: state for state in deployment_states(places, sources, wiring.gate().inspect(tuple(ids)))}


def _place(row: Deployment) -> Place:
    """Where it is; nobody calls it, so it has neither a key nor a price."""
    target = Target(row.account.provider, row.account.base_url, "", row.upstream_model)
    return Place(row.pk, row.name, row.account_id, target, Price(), is_priced=False, tenant_id=row.account.tenant_id)
