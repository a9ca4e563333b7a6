"""Provider accounts: whether each is there and takes its key, whether its models exist there, and what is left alone for its failures."""

from __future__ import annotations

from collections.abc import Iterator

from rateguard.doctor.finding import Finding, fail, ok, warn
from rateguard.engine.breaker.rule import BreakerState
from rateguard.engine.errors import GateError
from rateguard.engine.providers.listing import Listing
from rateguard.engine.wildcards import STAR
from rateguard.jobs.controls.breakers import breakers
from rateguard.jobs.insight.accounts import ask, key_of
from tenants.models import Deployment, ModelRoute, ProviderAccount

PATIENCE_S = 6.0
PROBE = "manage.py deployment probe NAME --spend TENANT pays one call there"
CREDENTIALS = "manage.py account change {name} --credentials-from VARIABLE"


def look() -> list[Finding]:
    """Each account asked at the same time for its models, which costs nothing; then what the rows and the gate know."""
    accounts = list(ProviderAccount.objects.order_by("name"))
    if not accounts:
        return [warn("there are no provider accounts", "python3 manage.py account create --help, or set OPENAI_API_KEY for `manage.py up`")]
    readable = [(account, key) for account in accounts if (key := key_of(account)) is not None]
    listings = ask(readable, PATIENCE_S)
    unreadable = [account for account in accounts if account not in [account for account, _ in readable]]
    found = [finding for (account, _), listing in zip(readable, listings, strict=True) for finding in _of_account(account, listing)]
    found += [fail(f"{one.name}: its credentials fit no encryption key", CREDENTIALS.format(name=one.name)) for one in unreadable]
    return [*found, *_models(), *_breakers()]


def _of_account(account: ProviderAccount, listing: Listing) -> Iterator[Finding]:
    place = f"{account.name} ({account.base_url})"
    if listing.is_refused:
        yield fail(f"{place} refuses the credentials", CREDENTIALS.format(name=account.name))
    elif not listing.was_asked:
        yield warn(f"{place}: {listing.reason}, so its key was not tried", PROBE)
    elif listing.status == 0:
        yield fail(f"{place} does not answer: {listing.reason}", "see whether this machine reaches it: proxy, firewall, name, certificate")
    elif listing.is_good:
        yield ok(f"{place} takes the key, in {listing.ms:,} ms")
        yield from _missing(account, listing)
    else:
        yield warn(f"{place} answers {listing.reason} where it should list its models, so its key was not tried", PROBE)


def _missing(account: ProviderAccount, listing: Listing) -> Iterator[Finding]:
    """Deployments of models that the provider does not name; one that names none may serve any."""
    if not listing.models:
        return
    rows = Deployment.objects.filter(account=account, is_enabled=True).exclude(upstream_model__contains=STAR).order_by("name")
    for row in rows.exclude(upstream_model__in=listing.models):
        told = f"{account.name} does not list {row.upstream_model}, which deployment {row.name} asks for"
        yield warn(told, f"manage.py deployment change {row.name} --upstream-model NAME, or --is-enabled no")


def _models() -> Iterator[Finding]:
    for route in ModelRoute.objects.filter(is_enabled=True).exclude(targets__deployment__is_enabled=True).order_by("name"):
        yield warn(f"model {route.name} leads to no deployment that takes work", f"manage.py model change {route.name} --deployment NAME")


def _breakers() -> Iterator[Finding]:
    try:
        found = breakers()
    except GateError:
        return  # Redis is a subject of its own
    for one in found:
        if one.state == BreakerState.OPEN:
            yield warn(f"deployment {one.deployment.name} is left alone: its breaker is open", "manage.py breaker list")
