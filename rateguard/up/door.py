"""The first tenant and the key with which it comes in, kept in a file: a secret cannot be read again from the database."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rateguard.up.accounts import BY
from rateguard.up.state import State, write_whole
from tenants.changes.keys import create_key
from tenants.changes.tenants import create_tenant
from tenants.keys import find_key
from tenants.models import Tenant, TenantStatus


@dataclasses.dataclass(frozen=True, slots=True)
class Door:
    """Who may come in. secret: of a key that was made just now, shown this once; "" for one that lay in the file."""

    tenant: str
    key_file: Path
    secret: str = dataclasses.field(repr=False)


def open_door(state: State, name: str) -> Door:
    """The tenant, made where there is none, and its key: the file's while that is in force, else a new one."""
    tenant = Tenant.objects.filter(name=name).first() or create_tenant(BY, name=name)
    file = state.key_file(name)
    if file.exists():
        key = find_key(file.read_text(encoding="utf-8", errors="replace").strip())
        if tenant.status == TenantStatus.PAUSED or (key is not None and key.tenant_id == tenant.pk):
            return Door(name, file, "")
    _, secret = create_key(BY, tenant, name="up")
    write_whole(file, secret + "\n")
    return Door(name, file, secret)
