"""What Bedrock is asked in the tests, and botocore's model of it, which judges every body that is sent."""

from __future__ import annotations

import functools
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import orjson
import pytest

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.bedrock.adapter import BedrockProvider
from rateguard.engine.providers.http import HttpClient
from tests.dialects.cases import body

PROVIDER = BedrockProvider(HttpClient())
NOVA, LLAMA, SONNET_3_7, OPUS_4_7 = (
    "amazon.nova-pro-v1:0",
    "us.meta.llama4-maverick-17b-instruct-v1:0",
    "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
    "global.anthropic.claude-opus-4-7",
)


def at(model: str, **options: Any) -> Target:
    return Target("bedrock", "", "ABSKkeykeykey", model, "us-east-1", options)


def chat(**fields: Any) -> Request:
    return Request(Endpoint.CHAT, body(**fields), "attempt-1")


@functools.cache
def service() -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2"))


def validated(operation: str, parameters: dict[str, Any]) -> Any:
    """botocore's report on the parameters of one of the service's operations."""
    shape = service().operation_model(operation).input_shape
    return botocore.validate.ParamValidator().validate(parameters, shape)


def sent(target: Target, request: Request) -> dict[str, Any]:
    """The body as it goes out, which AWS's own model of Converse must know in every field."""
    PROVIDER.check(target, request)
    written = orjson.loads(PROVIDER.write(target, request, is_streamed=False).body)
    report = validated("Converse", {"modelId": target.upstream_model, **written})
    assert not report.has_errors(), report.generate_report()
    return written


def refused(target: Target, request: Request) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        sent(target, request)
    return raised.value
