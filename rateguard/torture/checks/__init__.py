"""What must be true after a campaign, judged from outside: rows, the provider's own log, the gate, the API."""

from __future__ import annotations

import typing
from collections.abc import Sequence

from rateguard.torture.record import Fault, Findings, Record

if typing.TYPE_CHECKING:
    from rateguard.torture.site import Site

MOST_TOLD = 10
"""Examples of each thing that should not be."""


def check(site: Site, record: Record, faults: Sequence[Fault]) -> Findings:
    """Gather what is to be seen and judge it. Call it once all is done and the books are reconciled; Django is set up."""
    from rateguard.torture.checks.gathering import gather  # noqa: PLC0415 - Django is ready by now
    from rateguard.torture.checks.judging import judge  # noqa: PLC0415
    from rateguard.torture.checks.keeping import keep  # noqa: PLC0415

    evidence = gather(site, record, faults)
    keep(evidence, site.logs)
    return judge(evidence)
