"""`rateguard.run`: a piece of work with a budget, a cap of calls and a deadline of its own.

    with rateguard.run(budget_usd=2, max_calls=80, deadline=timedelta(minutes=10), name="research") as run:
        complete.delay("Plan it", model="gpt-5.4-mini")       # charged to the run
        dig_deeper.delay()                                    # a Celery task: whatever it submits is charged to the run too
    print(run.cost, run.calls)
    run.stop()                                                # nothing more of it starts

In a coroutine write `async with`. A run inside a run charges both. The end of the block does not end the run: its jobs go on.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from types import TracebackType
from typing import Protocol, Self

from asgiref.sync import sync_to_async

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.errors import ConfigurationError, InvalidRequest
from rateguard.engine.money import NANO
from rateguard.jobs.attempts import inplace
from rateguard.jobs.controls.runs import start_run, stop_run
from rateguard.jobs.inherit import current_run, enter, leave, said_around
from rateguard.jobs.insight.runtree import RunTree, read_tree, spent
from rateguard.jobs.lineage import lineage_of
from tenants.models import Run, Tenant, TenantStatus


class HasId(Protocol):
    """A run, or the block of one."""

    @property
    def id(self) -> uuid.UUID:
        """Its id."""
        ...


class Within:
    """A block of work in a run: a new one, started when the block is entered, or one that exists (`id`). It may be entered again."""

    def __init__(
        self,
        *,
        id: uuid.UUID | str | None = None,  # noqa: A002 - the word that callers know it by
        name: str = "",
        budget_usd: decimal.Decimal | float | str | None = None,
        max_calls: int | None = None,
        deadline: dt.datetime | dt.timedelta | None = None,
        tenant: Tenant | str | None = None,
    ) -> None:
        if id is not None and (name or tenant or not (budget_usd is None and max_calls is None and deadline is None)):
            raise InvalidRequest("a run that exists has its bounds: name nothing but its id", code="invalid_field", pointer="/id")
        self._id = as_run_id(id) or uuid.uuid4()
        self._is_new = id is None
        self._name = name
        self._budget_nano_usd = as_nano_usd(budget_usd)
        self._max_calls = max_calls
        self._deadline = deadline
        self._tenant = tenant

    @property
    def id(self) -> uuid.UUID:
        """The run's id: for `rateguard.run(id=…)`, REST's `Rateguard-Run` and `job.run`."""
        return self._id

    @property
    def row(self) -> Run:
        """The run as it stands. Raises InvalidRequest: `unknown_run`."""
        found = Run.objects.filter(pk=self._id).select_related("tenant").first()
        if found is None:
            raise InvalidRequest(f"there is no run {self._id}", code="unknown_run", pointer="/id")
        return found

    # ---- the block

    def __enter__(self) -> Self:
        self._open(current_run())
        enter(self._id)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        leave()

    async def __aenter__(self) -> Self:
        await sync_to_async(self._open)(current_run())
        enter(self._id)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        leave()

    def _open(self, around: uuid.UUID | None) -> None:
        """Start the run inside the one around it, or see that one which exists still takes work. Raises InvalidRequest."""
        if not self._is_new:
            lineage_of(self._id, self.row.tenant_id, pointer="/id")
            return
        start_run(
            paying_tenant(self._tenant or said_around().get("tenant"), around),
            parent=around,
            name=self._name,
            budget_nano_usd=self._budget_nano_usd,
            max_calls=self._max_calls,
            deadline=self._deadline,
            run_id=self._id,
        )
        self._is_new = False

    # ---- what became of it

    def stop(self) -> bool:
        """Stop the run and those inside it; False where that was done already. See runs.stop_run."""
        return stop_run(self.row)

    @property
    def cost(self) -> decimal.Decimal:
        """Dollars that it and the runs inside it have cost by now, exact."""
        return decimal.Decimal(spent(self._id).nano_usd) / NANO

    @property
    def calls(self) -> int:
        """Calls to providers by now, of it and of the runs inside it: what max_calls counts."""
        return spent(self._id).calls

    def tree(self) -> RunTree:
        """The run with its jobs and the runs inside it, each with what it cost."""
        return read_tree(self.row)


def run(
    *,
    id: uuid.UUID | str | None = None,  # noqa: A002 - the word that callers know it by
    name: str = "",
    budget_usd: decimal.Decimal | float | str | None = None,
    max_calls: int | None = None,
    deadline: dt.datetime | dt.timedelta | None = None,
    tenant: Tenant | str | None = None,
) -> Within:
    """A run for `with` or `async with`: a new one with these bounds, or with `id` one that exists.

    budget_usd: dollars; max_calls: calls to providers; deadline: what has not started by then is over. None: without that bound.
    tenant: a Tenant or its name, else that of the run or the context around it, else RATEGUARD["DEFAULT_TENANT"]. Raises InvalidRequest.
    """
    return Within(id=id, name=name, budget_usd=budget_usd, max_calls=max_calls, deadline=deadline, tenant=tenant)


# ---- what callers write


def as_run_id(given: uuid.UUID | str | HasId | None) -> uuid.UUID | None:
    """A run by its id, in any form, or by itself. Raises InvalidRequest: `invalid_field`."""
    if given is None or isinstance(given, uuid.UUID):
        return given
    if not isinstance(given, str):
        return given.id
    try:
        return uuid.UUID(given)
    except ValueError:
        raise InvalidRequest(f"{given[:100]!r} is no id of a run", code="invalid_field", pointer="/job/run") from None


def as_nano_usd(dollars: decimal.Decimal | float | str | None) -> int | None:
    """Dollars as nano-dollars; a fraction of one is refused. Raises InvalidRequest: `invalid_field`."""
    if dollars is None:
        return None
    try:
        exact = decimal.Decimal(str(dollars)) * NANO
        if exact == int(exact):
            return int(exact)
    except (decimal.InvalidOperation, ValueError, OverflowError):
        pass
    raise InvalidRequest("write dollars with at most nine places, such as 2 or 0.5", code="invalid_field", pointer="/budget_usd")


def paying_tenant(given: Tenant | str | None, run_id: uuid.UUID | None) -> Tenant:
    """Who pays: the tenant that is named, else the run's, else the settings'.

    Raises InvalidRequest: `unknown_tenant`, `unknown_run`; ConfigurationError where nobody says who.
    """
    if isinstance(given, Tenant):
        return given
    if given is None and run_id is not None:
        found = Tenant.objects.filter(runs=run_id, status=TenantStatus.ACTIVE).first()
        if found is not None:
            return found
        raise InvalidRequest(f"there is no run {run_id} of an active tenant", code="unknown_run", pointer="/job/run")
    name = given or conf().default_tenant
    found = None if name is None else wiring.tenant_named(name)
    here = inplace.caller()
    if found is None and here is not None and here.make_tenant is not None:
        return here.make_tenant(name)
    if name is None:
        raise ConfigurationError('say tenant=…, or set RATEGUARD["DEFAULT_TENANT"] to the name of the tenant who pays')
    if found is None or found.status != TenantStatus.ACTIVE:
        raise InvalidRequest(f"there is no active tenant {name!r}", code="unknown_tenant")
    return found
