"""Everything that the simulated provider knows: its configuration, the load of each account, the faults to come, the journal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.sim import answers
from rateguard.engine.providers.sim.config import SimConfig
from rateguard.engine.providers.sim.faults import Fault, FaultScript
from rateguard.engine.providers.sim.journal import Arrival, BillLine, Journal, bill_nano_usd
from rateguard.engine.providers.sim.log_file import NoLog
from rateguard.engine.providers.sim.windows import Window
from rateguard.engine.providers.sim.wire import Exchange, monotonic_s, now_ms

MAX_TOKENS_FIELDS = ("max_completion_tokens", "max_tokens")


class SimState:
    """One provider. Used by one event loop. `log`: where what happens is written before the caller hears of it."""

    def __init__(self, config: SimConfig | None = None, log: NoLog | None = None) -> None:
        self.config = config or SimConfig()
        self._file = log or NoLog()
        self.journal = Journal()
        self.faults = FaultScript()
        self._windows: dict[str, list[Window]] = {}

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Replace the named sections. New limits know what was accepted before. Raises ValueError or TypeError for what is unknown."""
        self.config = self.config.merged(changes)
        if "limits" in changes:
            self._windows.clear()

    def reset(self) -> None:
        """Forget arrivals, bill, faults and load; keep the configuration."""
        self._file.write("reset")
        self.journal = Journal()
        self.faults.clear()
        self._windows.clear()

    def max_tokens(self, body: Mapping[str, Any]) -> int:
        """The most that the answer may have, as counted at admission."""
        asked = [body.get(name) for name in MAX_TOKENS_FIELDS]
        return max((value for value in asked if isinstance(value, int)), default=self.config.output.default_max_tokens)

    def take_fault(self, exchange: Exchange, model: str) -> Fault | None:
        """The scripted fault that this request meets."""
        fault = self.faults.take(exchange.attempt_id, exchange.key, model)
        if fault is not None:
            self.journal.faults_served += 1
            exchange.fault = fault.kind.value
        return fault

    def count(self, exchange: Exchange, model: str, tokens: int) -> Window | None:
        """Count a request at this moment: accepted (None), or refused by the limit that has no room, all or nothing."""
        windows = self._windows_of(exchange.key, model)
        full = next((window for window in windows if not window.has_room(exchange.counted_ms, tokens)), None)
        if full is None:
            for window in windows:
                window.add(exchange.counted_ms, tokens)
        self._log(exchange, model, tokens, 200 if full is None else 429, is_accepted=full is None)
        return full

    def log_refusal(self, exchange: Exchange, model: str, tokens: int, status: int) -> None:
        """Note a request that a fault refused: it takes nothing of a limit."""
        self._log(exchange, model, tokens, status, is_accepted=False)

    def bill(self, exchange: Exchange, model: str, input_tokens: int, output_tokens: int) -> BillLine:
        """Write one line of the bill."""
        line = self.promise_bill(exchange, model, input_tokens, output_tokens)
        self.journal.bill.append(line)
        return line

    def promise_bill(self, exchange: Exchange, model: str, input_tokens: int, output_tokens: int) -> BillLine:
        """Put on disk what a stream costs if nobody lives to see its end; its line of the bill comes then."""
        line = BillLine(
            attempt_id=exchange.attempt_id,
            request_id=exchange.request_id,
            key=exchange.key,
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            nano_usd=bill_nano_usd(self.config.price_of(model), input_tokens, output_tokens),
            arrived_at_ms=exchange.counted_ms,
        )
        self._file.write("bill", **dataclasses.asdict(line))
        return line

    def ended(self, exchange: Exchange) -> None:
        """Note how a request that was counted ended."""
        if exchange.is_logged:
            self._file.write(
                "end",
                request_id=exchange.request_id,
                attempt_id=exchange.attempt_id,
                monotonic_s=monotonic_s(now_ms()),
                is_answered=exchange.has_answered,
                is_there=exchange.is_there,
            )

    def limit_headers(self, exchange: Exchange, model: str) -> answers.Headers:
        """The account's rate-limit headers at this moment."""
        return answers.limit_headers(self._windows_of(exchange.key, model), exchange.counted_ms)

    def _log(self, exchange: Exchange, model: str, tokens: int, status: int, *, is_accepted: bool) -> None:
        arrival = Arrival(exchange.attempt_id, exchange.key, model, exchange.counted_ms, tokens, status, is_accepted)
        self._file.write(
            "arrival",
            request_id=exchange.request_id,
            monotonic_s=monotonic_s(exchange.counted_ms),
            fault=exchange.fault,
            **dataclasses.asdict(arrival),
        )
        exchange.is_logged = True
        self.journal.arrivals.append(arrival)

    def _windows_of(self, key: str, model: str) -> list[Window]:
        """The windows that a request of this account and model is counted in."""
        if key not in self._windows:
            self._windows[key] = [self._make_window(key, number) for number in range(len(self.config.limits_of(key)))]
        return [window for window in self._windows[key] if window.rule.model in {"", model}]

    def _make_window(self, key: str, number: int) -> Window:
        window = Window(self.config.limits_of(key)[number])
        for arrival in self.journal.arrivals:
            if arrival.is_accepted and arrival.key == key and window.rule.model in {"", arrival.model}:
                window.add(arrival.arrived_ms, arrival.counted_tokens)
        return window
