"""What a body asks for is told by its fields."""

import pytest

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.intake.bodies import endpoint_of, faults_in_body


@pytest.mark.parametrize(
    ("body", "endpoint"),
    [
        ({"messages": []}, Endpoint.CHAT),
        ({"input": "the Danube"}, Endpoint.EMBEDDINGS),
        ({"input": ["the Danube", "the Nile"]}, Endpoint.EMBEDDINGS),
        ({"input": [[1, 2], [3]]}, Endpoint.EMBEDDINGS),
        ({"input": [{"role": "user", "content": "hello"}]}, Endpoint.RESPONSES),
        ({"input": "hello", "max_output_tokens": 20}, Endpoint.RESPONSES),
        ({"input": "hello", "instructions": "Be brief."}, Endpoint.RESPONSES),
    ],
)
def test_the_fields_tell_the_endpoint(body, endpoint):
    assert endpoint_of(body) is endpoint


@pytest.mark.parametrize("body", [{}, {"messages": [], "input": "x"}])
def test_neither_and_both_are_refused(body):
    with pytest.raises(InvalidRequest):
        endpoint_of(body)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"input": []}, "/input"),
        ({"input": [{"role": "user"}, "text"]}, "/input/1"),
        ({"max_output_tokens": 0}, "/max_output_tokens"),
        ({"stream": "yes"}, "/stream"),
        ({"tools": [3]}, "/tools/0"),
    ],
)
def test_what_is_wrong_with_a_response_is_named(fields, pointer):
    (found,) = faults_in_body(Endpoint.RESPONSES, {"input": "hello", **fields})
    assert found.pointer == pointer
