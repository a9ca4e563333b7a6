"""Official clients under the gate, for tests: the line with an account for each dialect, all of them the simulated provider.

`gated` is a `Line` whose models `gpt`, `claude` and `bedrock` lead to deployments of OpenAI's, Anthropic's and Bedrock's dialect, and `all`
to each of them, the last first.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rateguard.calls import process
from rateguard.jobs.models import Attempt
from tenants.models import Deployment, LedgerEntry, ModelRoute, Price, ProviderAccount, RouteTarget
from tests.line import CREDENTIALS, Line, wait_for

__all__ = ["ACCOUNTS", "charged", "gated"]

CLAUDE = "claude-sonnet-5"
ON_BEDROCK = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ACCOUNTS = {
    "gpt": ("openai", "gpt-5.5", CREDENTIALS, "/v1"),
    "embed": ("openai", "text-embedding-3-small", CREDENTIALS, "/v1"),
    "claude": ("anthropic", CLAUDE, CREDENTIALS, ""),
    "bedrock": ("bedrock", ON_BEDROCK, "AKIARATEGUARD:secret-of-ours", ""),
}
"""Model → provider, upstream model, credentials, and what follows the simulated provider's address."""


@pytest.fixture
def gated(line: Line) -> Iterator[Line]:
    everywhere = ModelRoute.objects.create(name="all")
    accounts: dict[str, ProviderAccount] = {}
    for position, (model, (provider, upstream, secret, path)) in enumerate(ACCOUNTS.items()):
        if provider not in accounts:
            url = line.provider.url + path
            accounts[provider] = ProviderAccount.objects.create(name=provider, provider=provider, base_url=url, credentials=secret)
        deployment = Deployment.objects.create(account=accounts[provider], name=model, upstream_model=upstream, region="us-east-1")
        Price.objects.create(provider=provider, model=upstream, valid_from="2020-01-01T00:00Z", input_pico=1_000_000, output_pico=2_000_000)
        RouteTarget.objects.create(route=ModelRoute.objects.create(name=model), deployment=deployment)
        if model != "embed":
            RouteTarget.objects.create(route=everywhere, deployment=deployment, position=len(ACCOUNTS) - position)
    yield line
    process.stop()


def charged(count: int = 1) -> list[tuple[Attempt, LedgerEntry]]:
    """The attempts that were made by now, in the order of their calls, each with its one charge; waits until so many have ended."""

    def ended() -> list[tuple[Attempt, LedgerEntry]]:
        entries = {entry.reservation_id: entry for entry in LedgerEntry.objects.all()}
        attempts = Attempt.objects.order_by("reservation_id")
        return [(one, entries[one.reservation_id]) for one in attempts if one.reservation_id in entries]

    wait_for(lambda: len(ended()) >= count)
    found = ended()
    assert len(found) == count == LedgerEntry.objects.count()
    return found
