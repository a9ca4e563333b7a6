"""Whether provider accounts are there and take their keys: each is asked for its models, which costs nothing."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

from rateguard.engine.errors import SecretUnreadable
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.listing import Listing, look
from rateguard.jobs.within import Look
from rateguard.providers import known
from tenants.models import ProviderAccount


def key_of(account: ProviderAccount) -> str | None:
    """An account's credentials; None where they fit no encryption key."""
    try:
        return account.credentials.reveal()
    except SecretUnreadable:
        return None


def ask(accounts: Sequence[tuple[ProviderAccount, str]], patience_s: float) -> list[Listing]:
    """What each says to its key, all asked at the same time; who hangs, in whatever way, has not answered."""
    providers = known()
    looks = [Look(functools.partial(look, account.provider, _target(account, key), providers)) for account, key in accounts]
    until = time.monotonic() + patience_s
    return [_answer(look, until, patience_s) for look in looks]


def _target(account: ProviderAccount, key: str) -> Target:
    return Target(account.provider, account.base_url, key, "", options=account.options)


def _answer(look: Look[Listing], until: float, patience_s: float) -> Listing:
    try:
        return look.wait(max(0.0, until - time.monotonic()))
    except TimeoutError:
        return Listing(0, int(patience_s * 1_000), reason=f"no answer within {patience_s:g} s")
