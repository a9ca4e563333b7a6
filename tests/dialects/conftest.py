"""Random cuts and shapes are judged by what comes out, not by how long a busy machine takes over them. More of them with --long."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("quick"), max_examples=200)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("--long") else "quick")
