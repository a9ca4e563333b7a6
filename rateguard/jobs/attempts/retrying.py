"""Whether a failed call is repeated: the policy of the project or ours, with the settings of the model.

A policy of the project's own (RATEGUARD["RETRY_POLICY"]) decides in place of ours, but for two things: what may be sent at most once is
not sent again after it left, and a policy that breaks is passed over. RATEGUARD["RETRYABLE_ERRORS"] names exceptions of a provider of
one's own that a retry may help.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.errors import ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.retry import Action, Failure, Reason, RetrySettings, Verdict, decide

logger = logging.getLogger(__name__)

Policy = Callable[[Failure, RetrySettings, float], Verdict]
"""As `rateguard.engine.retry.decide`: pure, for it is asked on the loop that runs the calls."""


def settings_of(model: str, max_tries: int) -> RetrySettings:
    """Of a job of this model. max_tries: the job's own."""
    of_model = wiring.directory().retries.get(model)
    return RetrySettings(
        (of_model and of_model.base_ms) or conf().retry_base_ms,
        (of_model and of_model.longest_ms) or conf().retry_max_ms,
        max_tries,
    )


def max_tries_of(model: str) -> int:
    """Of a job of this model that names none."""
    of_model = wiring.directory().retries.get(model)
    return (of_model and of_model.max_tries) or conf().max_tries


def judge(failure: Failure, settings: RetrySettings, chance: float) -> Verdict:
    """The verdict on a failed call."""
    verdict = _asked(failure, settings, chance)
    if verdict.action is not Action.GIVE_UP and failure.is_at_most_once and failure.has_left:
        return Verdict(Action.GIVE_UP, Reason.AT_MOST_ONCE)
    return verdict


def _asked(failure: Failure, settings: RetrySettings, chance: float) -> Verdict:
    if conf().retry_policy is None:
        return decide(failure, settings, chance)
    try:
        verdict = _policy()(failure, settings, chance)
    except Exception:
        logger.exception('RATEGUARD["RETRY_POLICY"] broke: the usual policy decides')
        return decide(failure, settings, chance)
    if not isinstance(verdict, Verdict) or verdict.wait_ms < 0:
        logger.error('RATEGUARD["RETRY_POLICY"] gave %r, which is no verdict: the usual policy decides', verdict)
        return decide(failure, settings, chance)
    return verdict


def as_provider_error(error: BaseException, *, has_left: bool) -> ProviderError:
    """What another exception of a call means: a retry may help those that the settings name, and no other."""
    if isinstance(error, InvalidRequest):
        return ProviderError(str(error), kind=ErrorKind.BAD_REQUEST)
    kind = ErrorKind.SERVER if isinstance(error, _retryable()) else ErrorKind.BAD_REQUEST
    return ProviderError(f"{type(error).__name__}: {error}", kind=kind, may_be_billed=has_left)


@functools.cache
def _policy() -> Policy:
    policy: Policy = import_string(conf().retry_policy or "")
    return policy


@functools.cache
def _retryable() -> tuple[type[Exception], ...]:
    return tuple(import_string(path) for path in conf().retryable_errors)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "RATEGUARD":
        _policy.cache_clear()
        _retryable.cache_clear()


setting_changed.connect(_forget, dispatch_uid="rateguard.retrying")
