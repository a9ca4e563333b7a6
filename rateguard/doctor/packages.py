"""A host project's packages with the names of ours."""

from __future__ import annotations

from django.core import checks

from rateguard.checks import check_shadowed_packages
from rateguard.doctor.finding import Finding, fail, ok, warn


def look() -> list[Finding]:
    """Which of ours are shadowed, and by what."""
    messages = check_shadowed_packages()
    found = [(fail if message.level >= checks.ERROR else warn)(message.msg, message.hint or "") for message in messages]
    return found or [ok("no foreign package takes the name of one of ours")]
