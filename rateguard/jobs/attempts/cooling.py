"""What a refused call cools: for a passing limit as long as the provider says, for a spent quota or a key that is not taken for long."""

from __future__ import annotations

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.gate.contract import Cooldown
from tenants.directory import Place

DEFAULT_COOLDOWN_MS = 1_000
"""How long a 429 cools what it names where it says nothing itself."""

SPENT = "its money or its quota is spent"
NOT_LET_IN = "it does not take our credentials, or lets them do too little"


def cooldown_of(error: ProviderError, place: Place) -> Cooldown | None:
    """What takes nothing for a while after this error; None: nothing is to be left alone."""
    match error.kind:
        case ErrorKind.RATE_LIMITED:
            return Cooldown(_target(place, is_account=error.cools == "account"), error.retry_after_ms or DEFAULT_COOLDOWN_MS)
        case ErrorKind.QUOTA_EXHAUSTED:
            for_ms, is_account = error.retry_after_ms or conf().quota_cooldown_s * 1_000, error.cools != "deployment"
            return Cooldown(_target(place, is_account=is_account), for_ms, SPENT)
        case ErrorKind.AUTH if conf().auth_cooldown_s:
            is_account = error.cools == "account" if error.cools else error.status != 403  # 403: this model is not for this key
            return Cooldown(_target(place, is_account=is_account), conf().auth_cooldown_s * 1_000, NOT_LET_IN)
        case _:
            return None


def _target(place: Place, *, is_account: bool) -> str:
    return wiring.account_target(place.account_id) if is_account else wiring.deployment_target(place.id)
