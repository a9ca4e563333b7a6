"""The fixture `llm` for pytest: installed with the package it is known by itself; else `pytest_plugins = ["rateguard.testing.plugin"]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rateguard.testing.canned import Answers


@pytest.fixture
def llm(db: None) -> Iterator[Answers]:  # noqa: ARG001 -- jobs are rows
    """Canned answers around the test: see rateguard.testing."""
    from rateguard.testing.canned import answers  # noqa: PLC0415 -- pytest loads plugins before Django is set up

    with answers() as made:
        yield made
