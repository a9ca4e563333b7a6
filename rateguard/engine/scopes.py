"""The nodes that a request charges, and how they are written: `5|team:ml|user:alice` is the path of a user of team ml of tenant 5.

A path names its nodes itself, so a node that nobody configured costs nothing: no row, no key. `limits`, `weight` and defaults are looked
up by node. Names are percent-encoded where they hold a separator or a control character.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from urllib.parse import unquote

GLOBAL = ""
"""The node above all tenants."""

MOST_RUNS = 4
"""A run may lie in a run, so deep."""


class NodeKind(enum.StrEnum):
    """The kinds of nodes below a tenant, from the root down; a path names them in this order, and of runs the outer one first."""

    TEAM = "team"
    ROLEGROUP = "rolegroup"
    ROLE = "role"
    USER = "user"
    RUN = "run"
    KEY = "key"


_ORDER = {kind: place for place, kind in enumerate(NodeKind)}
_UNSAFE = re.compile(r"[\x00-\x1f\x7f%|@]")


def path_of(tenant: str, nodes: Iterable[tuple[NodeKind, str]] = ()) -> str:
    """The path of a tenant's work that charges these nodes as well; nodes without a name are left out.

    >>> path_of("5", [(NodeKind.USER, "alice"), (NodeKind.TEAM, "ml"), (NodeKind.ROLE, "")])
    '5|team:ml|user:alice'
    """
    named = sorted((node for node in nodes if node[1]), key=lambda node: _ORDER[node[0]])
    return "|".join([tenant, *(f"{kind}:{_quoted(name)}" for kind, name in named)])


def node_of(tenant: str, kind: NodeKind, name: str) -> str:
    """One node below a tenant.

    >>> node_of("5", NodeKind.USER, "a|b")
    '5|user:a%7Cb'
    """
    return f"{tenant}|{kind}:{_quoted(name)}"


def tenant_of(path: str) -> str:
    """The tenant of a path or node: `5`."""
    return path.partition("|")[0]


def parts_of(path: str) -> list[str]:
    """What follows the tenant in a path: `["team:ml", "user:alice"]`."""
    return path.split("|")[1:]


def kind_of(part: str) -> str:
    """`user` of `user:alice`."""
    return part.partition(":")[0]


def user_of(path: str) -> str:
    """Who shares with the other users of a tenant: `user:alice`, or `` where the path has none."""
    return next((part for part in parts_of(path) if part.startswith("user:")), "")


def name_of(part: str) -> str:
    """The name as it was given: `a|b` of `user:a%7Cb`."""
    return unquote(part.partition(":")[2])


def instance_of(limit: str, part: str) -> str:
    """The limit that a node has by a default: `l17@user:alice`."""
    return f"{limit}@{part}"


def _quoted(name: str) -> str:
    return _UNSAFE.sub(lambda found: f"%{ord(found.group()):02X}", name)
