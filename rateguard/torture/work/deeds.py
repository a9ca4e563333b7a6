"""What the host process does: `.delay()` alone, in transactions that commit or not, and in every canvas of Celery's."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from celery import chain, chord, group
from django.db import Error, connection, transaction

from rateguard import complete, embed
from rateguard.engine.errors import RateguardError
from rateguard.torture.work.hosting import MARK

TENANT = "acme"
OPTIONS: dict[str, Any] = {"model": "torture-chat", "tenant": TENANT, "max_tokens": 40, "timeout": 20}
SMALL_S = 0.5
"""How long it waits after a database that was away."""


class Caller:
    """Submits one thing after the other."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"{seed} host")
        self._number = 0
        self._deeds: list[tuple[int, Callable[[], None]]] = [
            (8, self._alone),
            (4, self._committed),
            (3, self._rolled_back),
            (3, self._many),
            (2, self._group),
            (2, self._chain),
            (1, self._chord),
        ]

    def act(self) -> None:
        """One deed. A database that is away is met as a host would: nothing is promised, and it goes on."""
        (deed,) = self._chance.choices([deed for _, deed in self._deeds], [weight for weight, _ in self._deeds])
        try:
            deed()
        except RateguardError as error:
            tell(refused=str(error))
        except Error as error:
            tell(unanswered=repr(error))
            connection.close()  # a broken one is not let go of by itself outside of a request
            time.sleep(SMALL_S)

    def _text(self) -> str:
        self._number += 1
        return f"host question {self._number} " + "because " * self._chance.randint(1, 10)

    def _alone(self) -> None:
        if self._chance.random() < 0.3:
            result = embed.delay(self._text(), model="torture-embed", tenant=TENANT, timeout=20, dimensions=8)
        else:
            result = complete.delay(self._text(), lane=self._chance.choice(["high", "normal", "low"]), **OPTIONS)
        tell(accepted=[result.id])

    def _committed(self) -> None:
        """Two in one transaction; they are promised when it has committed."""
        with transaction.atomic():
            first = complete.delay(self._text(), **OPTIONS)
            second = complete.delay(self._text(), delivery="at_most_once", **OPTIONS)
        tell(accepted=[first.id])
        tell(accepted=[second.id], delivery="at_most_once")

    def _rolled_back(self) -> None:
        """Never promised, so never done."""
        with transaction.atomic():
            given_up = complete.delay(self._text(), **OPTIONS)
            transaction.set_rollback(True)
        tell(rolled_back=[given_up.id])

    def _many(self) -> None:
        results = complete.delay_many([self._text() for _ in range(5)], **OPTIONS)
        tell(accepted=[result.id for result in results])

    def _group(self) -> None:
        result: Any = group(complete.s(self._text(), **OPTIONS) for _ in range(3)).apply_async()
        tell(accepted=[one.id for one in result.results])

    def _chain(self) -> None:
        """The second is promised where the first succeeds."""
        last: Any = chain(complete.s(self._text(), **OPTIONS), complete.s("and then? {previous}", **OPTIONS)).apply_async()
        tell(accepted=[last.parent.id])
        tell(accepted=[last.id], after=[last.parent.id])

    def _chord(self) -> None:
        """The body is promised where all of the header succeed."""
        body: Any = chord([complete.s(self._text(), **OPTIONS) for _ in range(2)])(complete.s("sum up: {previous}", **OPTIONS))
        header = [one.id for one in body.parent.results]
        tell(accepted=header)
        tell(accepted=[body.id], after=header)


def tell(**told: Any) -> None:
    """One line for the campaign."""
    sys.stdout.write(f"{MARK}{json.dumps({'at': time.monotonic(), **told})}\n")
    sys.stdout.flush()
