"""The gate's Lua: one file an operation, put together with the fragments that its `-- needs:` line names."""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path

from rateguard.engine.gate.contract import LAYOUT
from rateguard.engine.keys import GATE_KEYS

_ENGINE = Path(__file__).parent.parent
_FRAGMENTS = {"limits": _ENGINE / "limits" / "limits.lua"}
_LUA = Path(__file__).parent / "lua"
_NESTED = "return (function()\n"
"""Each fragment is a function inside the one before: a closure then finds the names of outer ones at once, where within one function Lua
walks all captured names for each (a third of a small call), and 200 names are the most that one function may have."""

_NEEDS = re.compile(r"^-- needs: (.+)$", re.MULTILINE)


class Script:
    """An operation's whole source and its SHA-1, by which the server knows it."""

    def __init__(self, operation: str) -> None:
        body = (_LUA / f"{operation}.lua").read_text(encoding="utf-8")
        found = _NEEDS.search(body)
        needed = found.group(1).split() if found else []
        opening = [_keys(), (_LUA / "start.lua").read_text(encoding="utf-8")]
        self.source = "\n".join([*opening, *(_NESTED + _fragment(name) for name in needed), body, "end)() " * len(needed)])
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


@functools.cache
def script(operation: str) -> Script:
    """The script of one operation."""
    return Script(operation)


def _keys() -> str:
    """The table K of key names and the layout's version, as Lua."""
    names = ", ".join(f"{name} = '{key}'" for name, key in GATE_KEYS.items())
    return f"local LAYOUT = {LAYOUT}\nlocal K = {{{names}}}"


def _fragment(name: str) -> str:
    return _FRAGMENTS.get(name, _LUA / f"{name}.lua").read_text(encoding="utf-8")
