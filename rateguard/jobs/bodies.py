"""Requests and answers at rest: with RATEGUARD["ENCRYPT_BODIES"] they are encrypted as secrets are, by the first of ENCRYPTION_KEYS.

The setting may be switched at any time: rows of both kinds are read. What is sealed says so by how it begins, which no JSON text does.
A body whose key is gone stays as it is, and its job can be listed, cancelled and counted; only `opened` raises.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson

from rateguard.conf import conf
from rateguard.engine.errors import SecretUnreadable
from rateguard.jobs.states import TERMINAL
from tenants import secrets

if TYPE_CHECKING:
    from rateguard.jobs.models import Job

logger = logging.getLogger(__name__)


def seal(text: str) -> str:
    """What the database and Redis hold of a body. The empty text, and what is sealed already, stay as they are."""
    return text if not conf().encrypt_bodies or is_sealed(text) else secrets.encrypt(text)


def seal_json(value: Any) -> Any:
    """What the database holds of JSON in which requests stand: itself, or a sealed text."""
    is_left = value is None or not conf().encrypt_bodies or (isinstance(value, str) and is_sealed(value))
    return value if is_left else seal(orjson.dumps(value).decode())


def opened(text: str) -> str:
    """The body of what is held, sealed or not. Raises SecretUnreadable where no key fits."""
    return secrets.decrypt(text) if is_sealed(text) else text


def is_sealed(text: str) -> bool:
    """Whether it is encrypted."""
    return text.startswith(secrets.STORED)


def readable(text: str) -> str:
    """The body, or what is held of it where no key fits: a row must load all the same, and loses nothing when it is saved."""
    try:
        return opened(text)
    except SecretUnreadable:
        logger.warning('a body fits no key in RATEGUARD["ENCRYPTION_KEYS"]: put back the key that encrypted it')
        return text


def told_of(message: str) -> str:
    """What an error said, where it can be read."""
    return "what the error said was encrypted with a key that is not there" if is_sealed(message) else message


def why_gone(job: Job) -> str:
    """Why a job has neither its request nor its answer any more, or ""."""
    if job.state not in TERMINAL:
        return ""
    if not job.is_stored:
        return "it was submitted with store: false, so its request and its answer were not kept"
    return f"its request and its answer were removed on {job.purged_at:%Y-%m-%d}, as keep_bodies_days says" if job.purged_at else ""
