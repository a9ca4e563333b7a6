"""How this folder says that Bedrock cannot do something, or that nobody could: before anything is sent."""

from __future__ import annotations

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.features import UNSUPPORTED


def unsupported(message: str, pointer: str) -> InvalidRequest:
    """The refusal (`unsupported_by_provider`) of the field at this JSON pointer. Nothing of a prompt may stand in the message."""
    return InvalidRequest(message, code=UNSUPPORTED, pointer=pointer)


def malformed(message: str, pointer: str) -> InvalidRequest:
    """The refusal (`invalid_field`) of what no provider could take so."""
    return InvalidRequest(message, code="invalid_field", pointer=pointer)
