"""Whether a broken source still loads: one that does not would be killed by anything, and says nothing of the suite."""

from __future__ import annotations

import redis

from rateguard.engine.gate.library import library
from tests.mutation.mutant import Mutant

NAME = "mutant"
"""Of the library while it is asked about: nobody must ever call it in place of the sound one."""


class Loads:
    """Asks a server to compile the library with the change in it, and leaves nothing behind; Python compiles here."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def __call__(self, mutant: Mutant, text: str) -> bool:
        changed = mutant.applied(text)
        if not mutant.path.endswith(".lua"):
            return _compiles(changed)
        if text not in library().source:
            return False
        source = library().source.replace(text, changed).replace(library().prefix.rstrip("_"), NAME)
        try:
            self._client.function_load(source)
        except redis.ResponseError:
            return False
        self._client.function_delete(NAME)
        return True


def _compiles(text: str) -> bool:
    try:
        compile(text, "a mutant", "exec")
    except SyntaxError:
        return False
    return True
