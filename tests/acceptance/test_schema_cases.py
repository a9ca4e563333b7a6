"""What nobody would think of: generated requests for every operation of the schema, good and bad, against a running web process.

No answer is a 5xx; each has a status, a content type and a body that the schema knows; bad data is refused; and what was refused, or only
asked, has written nothing. The cases are the same at each run.
"""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

from __future__ import annotations

import pytest

from rateguard.api.schema.document import document
from tests.webprocess import start_web  # noqa: F401

LEAST_CASES = 1_000


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")
def test_generated_requests_get_the_answers_that_the_schema_tells(line, start_web):
    from tests.acceptance.cases import BAD, GOOD, Asker, World, closed, operations

    world = World(line)
    asker = Asker(world, start_web().url)

    for operation, examples in operations(closed(document())):
        asker.ask(operation, GOOD, examples)
        asker.ask(operation, BAD, examples)

    assert not asker.wrong, "\n\n".join(f"{' · '.join(kind)}\n{text}" for kind, text in asker.wrong.items())
    assert asker.count >= LEAST_CASES
    assert {200, 201, 202, 204, 400, 404} <= set(asker.statuses), asker.statuses
    assert asker.statuses[401] == 0  # the key that asks was not taken away on the way
