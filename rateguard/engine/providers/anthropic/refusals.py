"""What cannot be said in Anthropic's dialect, or is no request at all: refused before anything is sent, with a pointer to the field."""

from __future__ import annotations

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.features import UNSUPPORTED


def unsupported(what: str, pointer: str) -> InvalidRequest:
    """Anthropic has no word for it. Nothing of the request's content may stand in `what`."""
    return InvalidRequest(f"anthropic {what}", code=UNSUPPORTED, pointer=pointer)


def malformed(what: str, pointer: str) -> InvalidRequest:
    """No provider could take it so."""
    return InvalidRequest(what, code="invalid_field", pointer=pointer)
