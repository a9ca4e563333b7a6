"""The gate's Lua as one library of server functions: fragments first, each a table of functions to the next, then the operations.

A library is compiled once and keeps what it has unpacked between calls; a script (EVAL) would make its closures anew in each call. Its name
carries the hash of its source, so that processes of two versions can work on one server, each with its own.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from rateguard.engine.gate.contract import LAYOUT
from rateguard.engine.keys import GATE_KEYS

_ENGINE = Path(__file__).parent.parent
_LUA = Path(__file__).parent / "lua"
FRAGMENTS = {
    "windows": _ENGINE / "limits" / "windows.lua",
    "told": _ENGINE / "limits" / "told.lua",
    "limits": _ENGINE / "limits" / "limits.lua",
    "rules": _ENGINE / "limits" / "rules.lua",
    "edits": _ENGINE / "limits" / "edits.lua",
    "marks": _ENGINE / "routing" / "marks.lua",
    "turns": _ENGINE / "routing" / "turns.lua",
    "notices": _LUA / "notices.lua",
    "breaker": _ENGINE / "breaker" / "breaker.lua",
    "paths": _LUA / "paths.lua",
    "lists": _LUA / "lists.lua",
    "room": _LUA / "room.lua",
    "parking": _LUA / "parking.lua",
    "holders": _LUA / "holders.lua",
    "statistics": _LUA / "statistics.lua",
    "reservations": _LUA / "reserve.lua",
    "choosing": _LUA / "choose.lua",
    "asking": _LUA / "asking.lua",
    "admission": _LUA / "admit.lua",
}
"""In order: each may use those before it, by these names."""

OPERATIONS = ("step", "configure", "rebuild", "holding", "looking")

_REGISTER = """
local function operation(name, body, how)
  how = how or {}
  local function run(keys, argv)
    begin(keys, argv, how.channel_at)
    if not epoch and not how.is_rebuild then return redis.error_reply(REFUSED) end
    return body()
  end
  redis.register_function{function_name = PREFIX .. name, callback = run, flags = how.flags or {}}
end
"""


class Library:
    """The whole source, and the prefix of its functions' names."""

    def __init__(self) -> None:
        parts = [_keys(), _read(_LUA / "start.lua")]
        parts += [f"local {name} = (function()\n{_read(path)}\nend)()" for name, path in FRAGMENTS.items()]
        parts += [_REGISTER, *(f"do\n{_read(_LUA / f'{name}.lua')}\nend" for name in OPERATIONS)]
        body = "\n".join(parts)
        digest = hashlib.sha256(body.encode()).hexdigest()[:16]
        self.prefix = f"rateguard_{digest}_"
        self.source = f"#!lua name=rateguard_{digest}\nlocal PREFIX = '{self.prefix}'\n{body}"


@functools.cache
def library() -> Library:
    """The library of this version."""
    return Library()


def _keys() -> str:
    """The table K of key names and the layout's version, as Lua."""
    names = ", ".join(f"{name} = '{key}'" for name, key in GATE_KEYS.items())
    return f"local LAYOUT = {LAYOUT}\nlocal K = {{{names}}}"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
