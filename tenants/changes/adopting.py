"""A model that somebody asks for by a name under a wildcard is made a row of its own, once, with a deployment for each of the wildcard's.

So its price, limits, breaker and statistics are its own, and nothing decides by another way. It is one change, audited as the wildcard's.
In a transaction it is part of that: what rolls back was never made, and until its end others who ask for another new name wait.
"""

from __future__ import annotations

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.wildcards import filled, rest_of
from tenants.changes import deployments, models
from tenants.changes.actor import Actor
from tenants.changes.rows import in_one_transaction, insert, noted
from tenants.changes.wildcards import OF_MODELS, lead_as
from tenants.models import AuditAction, Deployment, ModelRoute
from tenants.signals import told_as_one

MOST_FOLLOWERS = 1_000
"""So many models of one wildcard: each is a list that the gate keeps, and nobody fills it with names that there are not."""
MOST_UPSTREAM_CHARS = 128


@in_one_transaction
def adopt(pattern: str, name: str) -> bool:
    """Make the model of a name under a wildcard, unless it is there: racing first uses make one. False: it takes no work, or cannot be.

    Raises InvalidRequest: `wildcard_full`.
    """
    there = ModelRoute.objects.filter(name=name).first()
    if there is not None:
        return there.is_enabled
    wildcard = ModelRoute.objects.filter(name=pattern, is_enabled=True).first()
    if wildcard is None or not _fits(wildcard, name):
        return False
    _check_room(wildcard)
    actor = Actor(f"wildcard {pattern}")
    row = ModelRoute(name=name, wildcard=wildcard, **{field: getattr(wildcard, field) for field in OF_MODELS})
    made: list[Deployment] = []
    with told_as_one():
        insert(actor, models.KIND, row, also=lambda new: made.extend(lead_as(wildcard, [new])))
    for one in made:
        noted(actor, deployments.KIND, one, AuditAction.CREATED, after=deployments.KIND.shown(one))
    return True


def _fits(wildcard: ModelRoute, name: str) -> bool:
    """Whether the provider's names of it have room."""
    rest = rest_of(wildcard.name, name)
    texts = wildcard.targets.values_list("deployment__upstream_model", flat=True)
    return rest is not None and all(len(filled(text, rest)) <= MOST_UPSTREAM_CHARS for text in texts)


def _check_room(wildcard: ModelRoute) -> None:
    if wildcard.followers.count() >= MOST_FOLLOWERS:
        raise InvalidRequest(
            f"{wildcard.name!r} has {MOST_FOLLOWERS:,} models already: whoever runs the service deletes some that nobody uses, "
            "or makes the one that you want by hand",
            code="wildcard_full",
            pointer="/model",
        )
