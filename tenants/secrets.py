"""Secrets at rest: encrypted with RATEGUARD["ENCRYPTION_KEYS"], the first of which encrypts while all decrypt.

A secret in memory is a `Secret`: it shows nothing until somebody calls `reveal()`. A row that was encrypted with a key that is
gone can be listed, edited and given a new secret; only `reveal()` raises SecretUnreadable.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Never

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression
from django.db.models.query_utils import DeferredAttribute

from rateguard.conf import conf
from rateguard.engine.errors import ConfigurationError, SecretUnreadable

STORED = "fernet:"
"""What every stored secret begins with, so that a copied row is never encrypted twice."""


@functools.lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ConfigurationError('RATEGUARD["ENCRYPTION_KEYS"] is empty: set RATEGUARD_ENCRYPTION_KEYS to a Fernet key to store secrets')
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> str:
    """The stored form of a text; the empty text stays empty. Raises ConfigurationError without a key."""
    return STORED + _cipher(conf().encryption_keys).encrypt(text.encode()).decode() if text else ""


def decrypt(stored: str) -> str:
    """The text of a stored form. Raises SecretUnreadable if no key fits; never returns what is stored."""
    if not stored:
        return ""
    try:
        return _cipher(conf().encryption_keys).decrypt(stored.removeprefix(STORED)).decode()
    except InvalidToken:
        raise SecretUnreadable(_UNREADABLE) from None


def rotate(stored: str) -> str:
    """The same secret, encrypted with the first key. Raises SecretUnreadable."""
    if not stored:
        return ""
    try:
        return STORED + _cipher(conf().encryption_keys).rotate(stored.removeprefix(STORED)).decode()
    except InvalidToken:
        raise SecretUnreadable(_UNREADABLE) from None


_UNREADABLE = 'a stored secret fits no key in RATEGUARD["ENCRYPTION_KEYS"]: put back the key that encrypted it, or store the secret anew'


class Secret:
    """A secret that shows nothing: no text in str, repr, formats or pickles. Built by the field, from a text or from a stored form."""

    __slots__ = ("_stored", "_text")

    def __init__(self, text: str = "", *, stored: str | None = None) -> None:
        self._text = text if stored is None else None
        self._stored = stored

    def reveal(self) -> str:
        """The text. Raises SecretUnreadable."""
        return self._text if self._text is not None else decrypt(self._stored or "")

    def stored(self) -> str:
        """The form that the database holds."""
        return self._stored if self._stored is not None else encrypt(self._text or "")

    def __bool__(self) -> bool:
        return bool(self._text or self._stored)

    def __repr__(self) -> str:
        return "[redacted]" if self else "[no secret]"

    def __deepcopy__(self, _memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> Never:
        raise TypeError("a secret is never pickled: send the id of its row")


class _SecretAttribute(DeferredAttribute):
    """Wraps whatever is assigned, so that a model instance never carries a bare text."""

    def __set__(self, instance: models.Model, value: object) -> None:
        instance.__dict__[self.field.attname] = self.field.to_python(value)


if TYPE_CHECKING:
    _Text = models.TextField[Secret | str, Secret]
else:
    _Text = models.TextField


class EncryptedTextField(_Text):
    """A text that is encrypted in the database and a `Secret` in Python. It cannot be filtered by."""

    descriptor_class = _SecretAttribute

    def to_python(self, value: Any) -> Any:
        """A `Secret` of a text, of a stored form, or of a `Secret`; an expression and None pass."""
        if value is None or isinstance(value, Secret | Expression):
            return value
        return Secret(stored=value) if str(value).startswith(STORED) else Secret(str(value))

    def from_db_value(self, value: str | None, _expression: Expression, _connection: BaseDatabaseWrapper) -> Secret | None:
        """What the database holds, not decrypted yet."""
        return None if value is None else Secret(stored=value)

    def get_prep_value(self, value: Any) -> Any:
        """What the database is to hold."""
        secret = self.to_python(value)
        return secret.stored() if isinstance(secret, Secret) else secret

    def value_to_string(self, obj: models.Model) -> str:
        """For `dumpdata`: still encrypted."""
        return str(self.get_prep_value(self.value_from_object(obj)))

    def value_from_object(self, obj: models.Model) -> Any:
        """The `Secret` of a row; forms show nothing of it."""
        return getattr(obj, self.attname)

    def get_lookup(self, lookup_name: str) -> Any:
        """Nothing can be compared: the same text is encrypted differently each time."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None
