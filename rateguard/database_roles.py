"""What the processes may do in PostgreSQL, where each kind has a role of its own: `migrate` gives it out, as the owner of the tables.

`deploy/roles.sql` makes the roles; settings.DATABASE_ROLES names them. After every `migrate` each table is gone through anew, so that the
tables of a later version are covered in the same run. Neither role may change or delete a line of the ledger, or change a table's shape.

| role | may |
|---|---|
| web | read and write what doors and people write; the ledger, the audit trail and events of jobs can only be added to; no job is deleted |
| worker | read configuration, write what becomes of jobs; nothing of sign-in, sessions or members |
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from django.db import connections, transaction

from rateguard.engine.errors import ConfigurationError

READ: Final = "SELECT"
ADD: Final = "SELECT, INSERT"
KEEP: Final = "SELECT, INSERT, UPDATE"
WRITE: Final = "SELECT, INSERT, UPDATE, DELETE"
NOTHING: Final = ""

JOBS, TENANTS = "rateguard_jobs_", "rateguard_tenants_"

BOTH: Final[Mapping[str, str]] = {
    "django_migrations": READ,  # readiness asks it
    f"{JOBS}job": KEEP,
    f"{JOBS}attempt": KEEP,
    f"{JOBS}jobevent": ADD,
    f"{TENANTS}ledgerentry": ADD,
}
"""By table, for either role."""
WEB: Final[Mapping[str, str]] = {
    f"{JOBS}lease": READ,
    f"{TENANTS}auditentry": f"{ADD}, UPDATE (tenant_id)",  # a tenant that is deleted leaves its trail without a name
}
"""By table; every other: WRITE."""
WORKER: Final[Mapping[str, str]] = {
    **dict.fromkeys((f"{TENANTS}usagequarter", f"{TENANTS}usagequarterbin", f"{TENANTS}usageday"), KEEP),
    **dict.fromkeys((f"{TENANTS}configversion", f"{TENANTS}gateepoch", f"{TENANTS}run"), KEEP),
    **dict.fromkeys((f"{TENANTS}forgotten", f"{TENANTS}gateevent", f"{TENANTS}pause"), WRITE),
    f"{TENANTS}webhookendpoint": f"{READ}, UPDATE (is_enabled)",  # a receiver that says it is gone is sent nothing more
    f"{TENANTS}auditentry": NOTHING,
    f"{TENANTS}member": NOTHING,
}
"""By table; every other: see WORKER_BY_PREFIX."""
WORKER_BY_PREFIX: Final[Mapping[str, str]] = {JOBS: WRITE, TENANTS: READ, "django_celery_results_": WRITE}
"""What a worker may do with tables of this prefix that are named nowhere; with all others, nothing."""


def privileges(kind: str, table: str) -> str:
    """What processes of this kind, `web` or `worker`, may do with a table."""
    own = WEB if kind == "web" else WORKER
    found = BOTH.get(table, own.get(table))
    if found is not None:
        return found
    return WRITE if kind == "web" else next((said for prefix, said in WORKER_BY_PREFIX.items() if table.startswith(prefix)), NOTHING)


def give_out(roles: Mapping[str, str], using: str = "default") -> None:
    """Give each role that is named what its kind may do, and take back all else; the current user owns the tables.

    roles: by kind, `web` and `worker`; an empty name is passed over. Raises ConfigurationError where that cannot be done.
    """
    named = {kind: role for kind, role in roles.items() if role}
    if not named:
        return
    connection = connections[using]
    if connection.vendor != "postgresql":
        raise ConfigurationError("DATABASE_WEB_ROLE and DATABASE_WORKER_ROLE name roles of PostgreSQL; the database is another: unset them")
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(named.values())])
        if absent := set(named.values()) - {name for (name,) in cursor.fetchall()}:
            raise ConfigurationError(f"PostgreSQL has no role {', '.join(sorted(absent))}: make it with deploy/roles.sql")
        tables = sorted(connection.introspection.table_names(cursor))
        for statement in _statements(named, tables, connection.ops.quote_name):
            cursor.execute(statement)


def _statements(roles: Mapping[str, str], tables: list[str], quoted: Callable[[str], str]) -> Iterator[str]:
    """Whatever was given before goes first: a right that this version no longer gives is taken back."""
    for table, (kind, role) in itertools.product(tables, roles.items()):
        yield f"REVOKE ALL ON {quoted(table)} FROM {quoted(role)}"
        if given := privileges(kind, table):
            yield f"GRANT {given} ON {quoted(table)} TO {quoted(role)}"
