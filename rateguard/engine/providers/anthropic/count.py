"""Exact counts on demand: `POST /v1/messages/count_tokens`, which costs nothing and has a limit of requests of its own.

The figure is Anthropic's estimate of what a message would be billed as input; the bill may differ a little.
"""

from __future__ import annotations

import orjson

from rateguard.engine.providers.anthropic.request import PATH, headers_for, url_of, write_counted
from rateguard.engine.providers.base import Request, Target, Wire
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object


def write_count(target: Target, request: Request) -> Wire:
    """The question how many tokens a chat's input has; max_tokens is not needed. Raises InvalidRequest."""
    body = write_counted(target, request)
    return Wire(f"{url_of(target)}{PATH}/count_tokens", headers_for(target, request), orjson.dumps(body))


def read_count(reply: Reply) -> int:
    """The tokens that an answer with status 2xx tells. Raises ProviderError where it tells none."""
    count = parse_object(reply.body).get("input_tokens")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise malformed_answer("the answer has no input_tokens")
    return count
