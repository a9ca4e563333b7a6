"""The examples of docs/transport.md, as they stand there: each official client under a real gate, against the simulated provider."""

import pytest

from tenants.models import Deployment, ModelRoute, RouteTarget
from tests.acceptance.pages import PROJECT, Reader
from tests.gated import charged, gated  # noqa: F401 - a fixture

PAGE_MODELS = {"gpt-5.4-mini": "gpt", "text-embedding-3-small": "embed", "claude-on-bedrock": "bedrock"}
"""The page's models → deployments."""


@pytest.mark.long
def test_the_page_of_the_transport_is_followed(gated, tmp_path):  # noqa: F811
    for model, deployment in PAGE_MODELS.items():
        RouteTarget.objects.create(route=ModelRoute.objects.create(name=model), deployment=Deployment.objects.get(name=deployment))

    Reader(tmp_path, {}).follow(PROJECT / "docs" / "transport.md")

    made = charged(10)
    assert len(gated.provider.control.log()) == 10
    assert {attempt.state for attempt, _ in made} == {"succeeded"}
    assert sorted(attempt.deployment for attempt, _ in made) == ["bedrock"] * 2 + ["claude"] * 4 + ["embed"] + ["gpt"] * 3
    assert [entry.user for _, entry in made if entry.labels] == ["ann"]
    assert [entry.team for _, entry in made if entry.run] == ["search"]
