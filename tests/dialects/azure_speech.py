"""Azure's: OpenAI's, with what its content filter found. Source: recorded replies; the first piece of a stream is not verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind
from rateguard.engine.providers.azure.adapter import AzureProvider
from rateguard.engine.providers.base import Target
from tests.dialects.openai_speech import OpenAISpeech
from tests.dialects.speech import Said, Wrong

SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
OPTIONS = {"api_version": "2024-10-21", "model": "gpt-4o-mini"}
PROMPT = [{"prompt_index": 0, "content_filter_results": {**SAFE, "jailbreak": {"filtered": False, "detected": False}}}]


class AzureSpeech(OpenAISpeech):
    """A deployment of Azure's, in the classic form."""

    provider = AzureProvider
    target = Target("azure", "https://acme.openai.azure.com", "0123456789abcdef", "our-mini", options=OPTIONS)

    def whole(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """With the results of the filter."""
        headers, body = super().whole(said)
        answer = orjson.loads(body)
        answer["choices"][0]["content_filter_results"] = SAFE
        return {**headers, "apim-request-id": "a-1"}, orjson.dumps({**answer, "prompt_filter_results": PROMPT})

    def stream(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """The first piece has the prompt's results and no choice."""
        headers, body = super().stream(said)
        first: dict[str, Any] = orjson.loads(body.split(b"\n\n")[0].removeprefix(b"data: "))
        filtered = {**first, "choices": [], "prompt_filter_results": PROMPT}
        return headers, b"data: " + orjson.dumps(filtered) + b"\n\n" + body

    def errors(self) -> Mapping[str, Wrong]:
        """Those of its gateway beside OpenAI's."""
        blocked = {
            "message": "The response was filtered",
            "code": "content_filter",
            "status": 400,
            "innererror": {
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": {"hate": {"filtered": True, "severity": "high"}},
            },
        }
        limit = b'{"error":{"code":"429","message":"Requests have exceeded call rate limit. Please retry after 12 seconds."}}'
        return {
            **super().errors(),
            "filtered_prompt": Wrong(400, orjson.dumps({"error": blocked}), ErrorKind.CONTENT_FILTER),
            "no_deployment": Wrong(
                404, b'{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist"}}', ErrorKind.NOT_FOUND
            ),
            "limit_in_the_body": Wrong(429, limit, ErrorKind.RATE_LIMITED, retry_after_ms=12_000, cools="deployment"),
            "limit_with_a_zero": Wrong(
                429, limit, ErrorKind.RATE_LIMITED, {"retry-after": "1", "retry-after-ms": "0"}, retry_after_ms=1_000
            ),
            "api_management": Wrong(401, b'{"statusCode":401,"message":"Access denied due to {key}"}', ErrorKind.AUTH),
            "timeout": Wrong(408, b'{"error":{"code":"Timeout","message":"timed out"}}', ErrorKind.TIMEOUT),
            "failed_dependency": Wrong(424, b"", ErrorKind.SERVER),
        }


SPEECH = AzureSpeech()
