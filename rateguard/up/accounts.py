"""Provider accounts of the environment's keys: made once, with deployments, models and limits; later starts bring a new key alone."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from decimal import Decimal

from django.db import transaction

from rateguard.engine.errors import InvalidRequest, SecretUnreadable
from rateguard.engine.providers.listing import Listing
from rateguard.up.catalogue import Found
from tenants.changes.accounts import change_account, create_account
from tenants.changes.actor import Actor
from tenants.changes.deployments import create_deployment
from tenants.changes.limits import create_limit
from tenants.changes.models import create_model
from tenants.changes.prices import create_price
from tenants.models import Deployment, ModelRoute, Price, ProviderAccount

BY = Actor(by="up")
MOST_LISTED = 20
"""Models of a server that speaks OpenAI's dialect and has none that we know: so many become deployments."""

SIM = "sim"
SIM_MODELS = {"sim-chat": ("0.15", "0.60"), "sim-embedding": ("0.02", "0")}
"""Models of the simulated provider, with what it bills: dollars per million tokens of input and of output."""
SIM_LIMITS = ("600/min", "200k tokens/min")


def take_key(found: Found, listing: Listing) -> bool:
    """The account of a key, with this key and base URL; a new one with deployments. Returns whether it is new. All of it or nothing."""
    account = ProviderAccount.objects.filter(name=found.provider.name).first()
    if account is not None:
        _follow(account, found.base_url, found.key)
        return False
    with transaction.atomic():
        account = create_account(BY, name=found.provider.name, provider=found.provider.name, base_url=found.base_url, credentials=found.key)
        for model in models_of(found, listing):
            _deploy(account, model, found.provider.limits)
    return True


def take_sim(base_url: str, key: str) -> bool:
    """The account of the simulated provider, at the address of this start. Returns whether it is new."""
    account = ProviderAccount.objects.filter(name=SIM).first()
    if account is not None:
        _follow(account, base_url, key)
        return False
    with transaction.atomic():
        account = create_account(BY, name=SIM, provider=SIM, base_url=base_url, credentials=key)
        for model, (input_usd, output_usd) in SIM_MODELS.items():
            if not Price.objects.filter(provider=SIM, model=model).exists():
                told = {"input_usd": Decimal(input_usd), "output_usd": Decimal(output_usd)}
                create_price(BY, provider=SIM, model=model, valid_from=dt.datetime(2020, 1, 1, tzinfo=dt.UTC), **told)
            _deploy(account, model, SIM_LIMITS)
    return True


def models_of(found: Found, listing: Listing) -> Sequence[str]:
    """Which models become deployments: those of ours that the provider has for this key; of a server without any of them its own.

    A provider that did not answer may have all of them.
    """
    ours = [model for model in found.provider.models if model in listing.models]
    if ours:
        return ours
    return listing.models[:MOST_LISTED] if found.is_custom and listing.models else found.provider.models


def _follow(account: ProviderAccount, base_url: str, key: str) -> None:
    """Bring what differs, and nothing else: whatever a person changed of the account stays."""
    changed: dict[str, str] = {}
    if account.base_url.rstrip("/") != base_url:
        changed["base_url"] = base_url
    try:
        is_same = account.credentials.reveal() == key
    except SecretUnreadable:
        is_same = False
    if changed or not is_same:
        change_account(BY, account, **changed, credentials=key)


def _deploy(account: ProviderAccount, model: str, limits: Sequence[str]) -> None:
    """A deployment with its limits, and a model of the same name unless there is one, which is left as a person made it."""
    deployment = create_deployment(BY, account=account, name=_free_name(account, model), upstream_model=model)
    for text in limits:
        create_limit(BY, deployment, text)
    if not ModelRoute.objects.filter(name=model).exists():
        try:
            create_model(BY, name=model, deployments=[deployment])
        except InvalidRequest:
            return  # a name that callers could not use: the deployment is there for a model of another name


def _free_name(account: ProviderAccount, model: str) -> str:
    """The model's name as a slug; with the account's before it where another deployment has that."""
    slug = re.sub(r"[^a-zA-Z0-9_]+", "-", model).strip("-") or "model"
    taken = Deployment.objects.filter(name=slug).exists()
    return (f"{account.name}-{slug}" if taken else slug)[:64]
