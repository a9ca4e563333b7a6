"""Which limits of an account and a deployment the headers of a provider's answers speak of."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from rateguard.engine.gate.contract import LimitReading
from rateguard.engine.readings import Axis, Reading
from tenants.models import Limit, LimitKind

_NEVER_TOLD = LimitKind.CONCURRENCY


@dataclasses.dataclass(frozen=True, slots=True)
class ReadableLimit:
    """A limit by the gate's id, and what it counts in the provider's words. of_account: it is on the account, not on the deployment."""

    limit: str
    axis: Axis
    window_ms: int
    of_account: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Readable:
    """The limits of one deployment and its account. is_alone: it is all that there is of the account, so what binds one binds both."""

    limits: tuple[ReadableLimit, ...] = ()
    is_alone: bool = False

    def of(self, readings: Iterable[Reading]) -> tuple[LimitReading, ...]:
        """What an answer said, by the gate's limits; what it says of limits that nobody set is left out."""
        return tuple(
            LimitReading(one.limit, reading.limit, reading.remaining, reading.reset_ms)
            for reading in readings
            for one in self._meant(reading)
        )

    def _meant(self, reading: Reading) -> list[ReadableLimit]:
        """The limits that a reading speaks of; none where it names no time and there are several."""
        fits = [one for one in self.limits if one.axis == reading.axis and reading.window_ms in (0, one.window_ms)]
        own = [one for one in fits if one.of_account == reading.of_account] or (fits if self.is_alone else [])
        return own if len({one.window_ms for one in own}) == 1 else []


NOTHING = Readable()


def readable(rows: Iterable[Limit], accounts: Mapping[int, int]) -> dict[int, Readable]:
    """By deployment. rows: the limits on accounts and deployments. accounts: deployment → its account, of all that is enabled."""
    of_account: dict[int | None, list[ReadableLimit]] = defaultdict(list)
    of_deployment: dict[int | None, list[ReadableLimit]] = defaultdict(list)
    for row in rows:
        if row.kind != _NEVER_TOLD:
            is_account = row.account_id is not None
            found = ReadableLimit(f"l{row.pk}", Axis(row.metric), row.window_ms, is_account)
            (of_account[row.account_id] if is_account else of_deployment[row.deployment_id]).append(found)
    counts = Counter(accounts.values())
    return {
        deployment: Readable((*of_deployment[deployment], *of_account[account]), counts[account] == 1)
        for deployment, account in accounts.items()
    }
