"""The settings: Django's checks and ours, and whether they are fit for production."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.core import checks

from rateguard.checks import PRODUCTION_RULES
from rateguard.conf import is_production
from rateguard.doctor.finding import Finding, fail, ok, warn

_ELSEWHERE = {"rateguard.E002", "rateguard.W004"}
"""Shadowed packages are a subject of their own."""
_PLAIN_HTTP = {"security.W004", "security.W008"}


def look() -> list[Finding]:
    """What Django's checks say, and what production would refuse."""
    messages = [
        message
        for message in checks.run_checks(include_deployment_checks=is_production())
        if message.level >= checks.WARNING and message.id not in _ELSEWHERE and not message.is_silenced()
    ]
    found = [_finding(message) for message in messages if message.id not in _PLAIN_HTTP]
    if len(found) < len(messages):
        told = "nothing here asks for HTTPS (SECURE_SSL_REDIRECT and SECURE_HSTS_SECONDS are off)"
        found.append(warn(told, "before others than this machine call it, put something in front that speaks TLS: docs/operating.md"))
    return [_kind(), *found, *([] if is_production() else _not_yet_fit())]


def _kind() -> Finding:
    kind = "production" if is_production() else "development"
    state = os.environ.get("RATEGUARD_STATE_DIR")
    where = f"; the state is in {Path(state)}" if state else ""
    return ok(f"settings {settings.SETTINGS_MODULE}, {kind}{where}")


def _finding(message: checks.CheckMessage) -> Finding:
    text = f"{message.msg} ({message.id})"
    return (fail if message.level >= checks.ERROR else warn)(text, message.hint or "see `manage.py check`")


def _not_yet_fit() -> list[Finding]:
    """One line for all that RATEGUARD_ENV=production would refuse: a first run need not care."""
    broken = [rule for rule in PRODUCTION_RULES if rule.is_broken()]
    if not broken:
        return [warn("RATEGUARD_ENV is not production, so unsafe settings would not be refused", "set RATEGUARD_ENV=production")]
    told = " ".join(rule.message for rule in broken)
    remedies = " ".join(rule.hint for rule in broken)
    return [warn(f"fit for development alone: {told}", f"before production: {remedies} Then RATEGUARD_ENV=production.")]
