"""What a test need not make: models that nobody configured, tenants that nobody created, a gate.

A model that is configured keeps its price and its deployments' names; any other is made up, at a price of the test's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import zlib
from collections.abc import Iterator
from unittest import mock

from rateguard import wiring
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.money import Price
from rateguard.engine.providers.base import Target
from rateguard.jobs.insight import expect
from rateguard.jobs.intake import affordable
from tenants.directory import Directory, Place, read_directory
from tenants.models import ConfigVersion, Tenant

PICO_PER_USD_A_MILLION = 1_000_000
"""One dollar per million tokens is a micro-dollar a token."""


@dataclasses.dataclass(frozen=True, slots=True)
class _AnyModel(Directory):
    """The configured models, and whatever else is asked for."""

    price: Price = dataclasses.field(default_factory=Price)

    def places_for(self, model: str, tenant_id: int) -> tuple[Place, ...]:
        """See Directory; a model without a deployment gets one that is made up."""
        found = Directory.places_for(self, model, tenant_id)
        return found or (self._made_up(model),)

    def _made_up(self, model: str) -> Place:
        number = -1 - zlib.crc32(model.encode())
        return Place(number, "testing", -1, Target("testing", "", "", model), self.price, is_priced=True, tenant_id=None)


@contextlib.contextmanager
def made_up(input_usd: float, output_usd: float) -> Iterator[None]:
    """Inside the block every model is there, and the gate is this process's own. Dollars per million tokens."""
    price = Price(
        input_pico=round(input_usd * PICO_PER_USD_A_MILLION),
        cached_input_pico=round(input_usd * PICO_PER_USD_A_MILLION),
        output_pico=round(output_usd * PICO_PER_USD_A_MILLION),
    )

    known: list[Directory] = []

    def directory() -> Directory:
        """As the test's rows are now: their version is asked each time."""
        if not known or known[0].version != ConfigVersion.current():
            read = read_directory()
            known[:] = [_AnyModel(**{field.name: getattr(read, field.name) for field in dataclasses.fields(read)}, price=price)]
        return known[0]

    _forget()
    with mock.patch.object(wiring, "directory", directory), mock.patch.object(wiring, "gate", functools.cache(_open_gate)):
        yield
    _forget()


def make_tenant(name: str | None) -> Tenant:
    """The tenant of that name, or `testing` where nobody says who pays."""
    return Tenant.objects.get_or_create(name=name or "testing")[0]


def _open_gate() -> MemoryGate:
    gate = MemoryGate()
    gate.open(1)
    return gate


def _forget() -> None:
    wiring.forget_directory()
    expect.forget()
    affordable.forget()
