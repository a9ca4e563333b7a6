"""Secrets by file: where the environment has `SECRET_KEY_FILE`, the text of the file that it names is `SECRET_KEY`.

So systemd's credentials and the secrets of containers reach the settings without standing in the environment, which children inherit
and which the machine shows to whoever may look at the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rateguard.engine.errors import ConfigurationError

SUFFIX: Final = "_FILE"
SECRETS: Final = ("SECRET_KEY", "RATEGUARD_ENCRYPTION_KEYS", "DATABASE_URL", "DATABASE_PASSWORD", "REDIS_URL", "BROKER_URL")
"""Variables that hold a secret, or may: a URL holds a password."""


def with_secret_files(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with each secret that it names a file for. An empty variable is as good as none.

    A newline at the file's end is cut. Raises ConfigurationError where a secret is given twice, or its file cannot be read or holds none.
    """
    found = dict(environment)
    for name in SECRETS:
        if path := environment.get(name + SUFFIX, ""):
            if environment.get(name, ""):
                raise ConfigurationError(f"{name} and {name}{SUFFIX} are both set: keep one of them")
            found[name] = _text_of(name + SUFFIX, Path(path))
    return found


def _text_of(variable: str, path: Path) -> str:
    """What the file holds. The message never repeats it."""
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise ConfigurationError(f"{variable} names {path}: {reason}. Name a file that this process may read.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{variable} names {path}, which is no text: write the secret into it, in one line.") from None
    if not text.strip() or "\n" in text or "\0" in text:
        found = "holds more than one line" if text.strip() else "is empty"
        raise ConfigurationError(f"{variable} names {path}, which {found}: write the secret into it, in one line.")
    return text
