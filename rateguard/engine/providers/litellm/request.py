"""What litellm is called with. It knows the provider by the model's prefix (`cohere/command-a`), or by the option `custom_llm_provider`."""

from __future__ import annotations

from typing import Any

from rateguard.engine.providers.base import Request, Target

_OURS = ("model", "stream", "stream_options")


def arguments(target: Target, request: Request, *, is_streamed: bool) -> dict[str, Any]:
    """Its retries are off, and what it cannot translate is an error, never dropped. options: passed on as they are."""
    given = {name: value for name, value in request.body.items() if name not in _OURS}
    if is_streamed:
        given |= {"stream": True, "stream_options": {"include_usage": True}}
    return {
        **given,
        **target.options,
        "model": target.upstream_model,
        "api_key": target.api_key or None,
        "api_base": target.base_url or None,
        "timeout": request.total_timeout_s,
        "num_retries": 0,
        "max_retries": 0,
        "drop_params": False,
        "extra_headers": {"X-Client-Request-Id": request.attempt_id},
    }
