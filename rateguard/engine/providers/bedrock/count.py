"""Exact counts on demand: `POST /model/{id}/count-tokens`, free of charge, not for every model and inference profile.

Source: botocore's service model. The figure is that of the bill for the same input (Bedrock's user guide).
"""

from __future__ import annotations

import orjson

from rateguard.engine.providers.base import Request, Target, Wire
from rateguard.engine.providers.bedrock.endpoint import url_of
from rateguard.engine.providers.bedrock.request import converse
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object

_COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")


def write_count(target: Target, request: Request) -> Wire:
    """The question how many tokens a chat's input has, not signed yet. Raises InvalidRequest."""
    whole = converse(target, request)
    counted = {name: whole[name] for name in _COUNTED if name in whole}
    headers = {"Content-Type": "application/json", "User-Agent": "rateguard"}
    return Wire(url_of(target, "count-tokens"), headers, orjson.dumps({"input": {"converse": counted}}), is_encoded=True)


def read_count(reply: Reply) -> int:
    """The tokens that an answer with status 2xx tells. Raises ProviderError where it tells none."""
    count = parse_object(reply.body).get("inputTokens")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise malformed_answer("the answer has no inputTokens")
    return count
