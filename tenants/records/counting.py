"""How a provider counts what its own limits limit: its admission, as the fields of a limit's record. No adapter is loaded to know it."""

from __future__ import annotations

import functools
import importlib
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.limits.limit import Metric
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.capabilities import Admission
from rateguard.engine.providers.registry import admission_of
from rateguard.providers import known

STRICTEST = Admission()
"""What a provider that nobody knows is taken to count: all of it, and nothing comes back."""


def admission_at(targets: Iterable[Target]) -> Admission:
    """What the limits of these deployments of one provider count: where their models differ, what any of them counts does."""
    found = [_admission(target.provider, target.upstream_model, json.dumps(dict(target.options), sort_keys=True)) for target in targets]
    if not found:
        return STRICTEST
    return Admission(
        counts_max_tokens=any(one.counts_max_tokens for one in found),
        counts_output=any(one.counts_output for one in found),
        counts_cached=any(one.counts_cached for one in found),
        gives_back=all(one.gives_back for one in found),
        output_permille=max(one.output_permille for one in found),
    )


_BY_MODEL = frozenset({"bedrock", "vertex"})
"""Those whose limits count each model in its own way: data of their models, read where there is such an account."""


class Counting:
    """What the limits of each account and of each deployment count. places: (account, deployment, target) of what is enabled."""

    def __init__(self, places: Iterable[tuple[int, int, Target]]) -> None:
        self._accounts: dict[int, list[Target]] = defaultdict(list)
        self._deployments: dict[int, Target] = {}
        for account, deployment, target in places:
            self._accounts[account].append(target)
            self._deployments[deployment] = target

    def of(self, account: int | None, deployment: int | None) -> Admission:
        """Of a limit on one of the two; where nothing of it is enabled, nobody charges it."""
        if account is not None:
            return admission_at(self._accounts.get(account, ()))
        return admission_at(self._deployments[one] for one in (deployment,) if one in self._deployments)


@functools.lru_cache(maxsize=10_000)
def _admission(provider: str, model: str, options: str) -> Admission:
    if provider in _BY_MODEL:
        limits = importlib.import_module(f"rateguard.engine.providers.{provider}.limits")
        found: Admission = limits.admission_of(model, json.loads(options))
        return found
    try:
        return admission_of(provider, known())
    except ConfigurationError:
        return STRICTEST


def counted_as(metric: Metric, admission: Admission) -> dict[str, Any]:
    """The fields of a record that counts a metric as a provider does.

    A limit of tokens in all reserves what max_tokens allows where the provider does so, else what we expect of the answer, and only input
    where its output is not limited. Input and output a minute are each reserved as expected and settle to what came.
    """
    if metric == Metric.TOKENS:
        metric = (
            Metric.PROVIDER_TOKENS if admission.counts_max_tokens else Metric.TOKENS if admission.counts_output else Metric.INPUT_TOKENS
        )
    if metric not in {Metric.TOKENS, Metric.PROVIDER_TOKENS, Metric.INPUT_TOKENS, Metric.OUTPUT_TOKENS}:
        return {"metric": metric, "gives_back": metric == Metric.CONCURRENCY}
    return {
        "metric": metric,
        "gives_back": admission.gives_back,
        "counts_cached": admission.counts_cached,
        "output_permille": admission.output_permille,
    }
