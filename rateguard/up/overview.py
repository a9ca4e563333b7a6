"""What an `up` serves, read from the rows: accounts with their models and the limits that hold now."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

from tenants.changes.limits import text_of
from tenants.models import Deployment, Limit, ProviderAccount, RouteTarget


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """Models with the same limits. deployments: in the order of their models."""

    limits: tuple[str, ...]
    models: tuple[str, ...]
    deployments: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """A provider account, and what it serves. limits: the account's own."""

    name: str
    provider: str
    base_url: str
    limits: tuple[str, ...]
    served: tuple[Served, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """All of its models."""
        return tuple(model for one in self.served for model in one.models)


def accounts() -> list[Account]:
    """Every account, in the order in which they were made."""
    return [_account(row) for row in ProviderAccount.objects.order_by("pk")]


def model_to_try(found: list[Account]) -> str | None:
    """A model that chats, a small one where the names tell; None where there is none at all."""
    models = [model for account in found for model in account.models if "embed" not in model]
    small = [model for model in models if "mini" in model]
    return next(iter(small or models), None)


def _account(row: ProviderAccount) -> Account:
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    targets = RouteTarget.objects.filter(deployment__account=row, deployment__is_enabled=True, route__is_enabled=True)
    for target in targets.select_related("route", "deployment").order_by("deployment__pk", "route__pk"):
        groups[_limits_of(target.deployment)].append((target.route.name, target.deployment.name))
    served = tuple(Served(limits, tuple(m for m, _ in pairs), tuple(d for _, d in pairs)) for limits, pairs in groups.items())
    return Account(row.name, row.provider, row.base_url, _limits_of(row), served)


def _limits_of(on: ProviderAccount | Deployment) -> tuple[str, ...]:
    rows = Limit.objects.filter(account=on) if isinstance(on, ProviderAccount) else Limit.objects.filter(deployment=on)
    return tuple(text_of(row) for row in rows.order_by("pk"))
