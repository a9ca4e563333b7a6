"""What a key allows: the models and lanes that its requests may name, the names that are bound to it.

A key's rules are read once a version of the configuration; a caller whose row is at hand passes it along.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from rateguard import wiring
from rateguard.engine.errors import NotAllowed
from rateguard.engine.lanes import Lane
from rateguard.engine.wildcards import is_allowed
from rateguard.jobs.intake.submission import NAMES, Submission
from rateguard.jobs.models import Job
from tenants.models import ApiKey


@dataclasses.dataclass(frozen=True, slots=True)
class KeyRules:
    """models: public names, or patterns like `openrouter/*`; empty for all. bound: names that its requests are charged to in any case."""

    models: frozenset[str] = frozenset()
    default_lane: Lane | None = None
    highest_lane: Lane = Lane.CRITICAL
    bound: tuple[tuple[str, str], ...] = ()


NO_RULES = KeyRules()


def rules_of(key: ApiKey) -> KeyRules:
    """The rules that a key's row holds."""
    return KeyRules(
        frozenset(key.allowed_models),
        None if key.default_lane is None else Lane(key.default_lane),
        Lane.CRITICAL if key.highest_lane is None else Lane(key.highest_lane),
        tuple((name, value) for name, value in key.bound.items() if name in NAMES),
    )


def under_key(submission: Submission) -> tuple[Submission, Lane]:
    """The submission as its key lets it be, with the names that are bound to the key, and its lane.

    Raises NotAllowed: `model_not_allowed`, `lane_not_allowed`, `bound_to_key`.
    """
    rules = _rules_for(submission)
    _check_model(submission.body.get("model"), rules)
    filled: dict[str, Any] = {name: _bound_name(name, getattr(submission, name), value) for name, value in rules.bound}
    return dataclasses.replace(submission, **filled) if filled else submission, _lane(submission.lane, rules)


def check_row(job: Job, key: ApiKey) -> None:
    """Whether a key allows a job that there is already. Raises NotAllowed, as above."""
    rules = rules_of(key)
    _check_model(job.asked_model, rules)
    _lane(Lane(job.lane), rules)
    for name, value in rules.bound:
        if getattr(job, name) != value:
            raise NotAllowed(f"this key is bound to the {name} {value!r}, and the job is not its", code="bound_to_key")


def may_use(key_id: int | None, model: str) -> bool:
    """Whether what came in by this key may go to a model."""
    rules = _rules_of_id(key_id)
    return not rules.models or is_allowed(rules.models, model)


def _rules_for(submission: Submission) -> KeyRules:
    return rules_of(submission.key) if submission.key is not None else _rules_of_id(submission.api_key_id)


def _rules_of_id(key_id: int | None) -> KeyRules:
    return NO_RULES if key_id is None else _read_rules(key_id, wiring.directory().version)


@functools.lru_cache(maxsize=10_000)
def _read_rules(key_id: int, version: int) -> KeyRules:  # noqa: ARG001 - part of the cache's key: an older answer is unreachable
    key = ApiKey.objects.filter(pk=key_id).first()
    return NO_RULES if key is None else rules_of(key)


def _check_model(model: Any, rules: KeyRules) -> None:
    if rules.models and not (isinstance(model, str) and is_allowed(rules.models, model)):
        known = ", ".join(sorted(rules.models)[:20])
        raise NotAllowed(f"this key may not use the model {model!r}; it may use {known}", code="model_not_allowed", pointer="/model")


def _lane(named: Lane | None, rules: KeyRules) -> Lane:
    """The lane that was named, else the key's default, else normal, as far as the key may."""
    if named is None:
        return max(rules.default_lane or Lane.NORMAL, rules.highest_lane)
    if named < rules.highest_lane:
        message = f"this key may not use the lane {named.label}; the highest that it may use is {rules.highest_lane.label}"
        raise NotAllowed(message, code="lane_not_allowed", pointer="/job/lane")
    return named


def _bound_name(name: str, told: str, bound: str) -> str:
    if told not in {"", bound}:
        message = f"this key is bound to the {name} {bound!r}: leave the field out, or take another key"
        raise NotAllowed(message, code="bound_to_key", pointer=f"/job/{name}")
    return bound


def forget() -> None:
    """Read every key's rules anew."""
    _read_rules.cache_clear()
