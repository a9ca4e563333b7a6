"""A client of the simulated provider's control endpoints: standard library, synchronous, for tests, the demo and benchmarks."""

from __future__ import annotations

import dataclasses
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.sim.config import LimitRule, ModelPrice
from rateguard.engine.providers.sim.faults import Fault
from rateguard.engine.providers.sim.journal import Arrival, BillLine

_TIMEOUT_S = 30.0


class SimControl:
    """Configures and questions one simulated provider. `url` has no path; `token` is its control token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    def configure(
        self,
        *,
        limits: Mapping[str, Sequence[LimitRule]] | None = None,
        prices: Mapping[str, ModelPrice] | None = None,
        **sections: Any,
    ) -> None:
        """Replace sections of the configuration (seed, keys, models, latency, output: as JSON). Raises ConfigurationError if refused."""
        if limits is not None:
            sections["limits"] = {key: [dataclasses.asdict(rule) for rule in rules] for key, rules in limits.items()}
        if prices is not None:
            sections["prices"] = {model: dataclasses.asdict(price) for model, price in prices.items()}
        self._call("POST", "configure", sections)

    def add_faults(self, *faults: Fault) -> None:
        """Put faults at the end of the script."""
        self._call("POST", "faults", {"faults": [dataclasses.asdict(fault) for fault in faults]})

    def reset(self) -> None:
        """Forget arrivals, bill, faults and load; keep the configuration."""
        self._call("POST", "reset", {})

    def config(self) -> dict[str, Any]:
        """The configuration in force, as JSON."""
        answer: dict[str, Any] = self._call("GET", "config")
        return answer

    def bill(self) -> list[BillLine]:
        """All lines of the provider's own bill."""
        return [BillLine(**line) for line in self._call("GET", "bill")]

    def log(self) -> list[Arrival]:
        """All arrivals, in order."""
        return [Arrival(**arrival) for arrival in self._call("GET", "log")]

    def stats(self, from_ms: float | None = None, to_ms: float | None = None) -> dict[str, Any]:
        """Totals and each limit's worst window; with a span (epoch ms of the provider's clock) also each limit's mean use in it."""
        span = {name: value for name, value in (("from_ms", from_ms), ("to_ms", to_ms)) if value is not None}
        answer: dict[str, Any] = self._call("GET", f"stats?{urllib.parse.urlencode(span)}")
        return answer

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is the caller's own process
            f"{self._url}/_sim/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310 - as above
                return json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                reason = json.load(error).get("error", "")
            raise ConfigurationError(f"the simulated provider refused {method} {path}: {reason}") from None
