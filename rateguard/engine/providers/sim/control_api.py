"""The control endpoints under /_sim/, behind a token of their own."""

from __future__ import annotations

import dataclasses
import hmac
import urllib.parse
from collections.abc import Callable
from typing import Any

import orjson

from rateguard.engine.providers.sim.answers import JSON
from rateguard.engine.providers.sim.faults import Fault
from rateguard.engine.providers.sim.state import SimState
from rateguard.engine.providers.sim.wire import Exchange


class ControlApi:
    """configure, faults, reset (POST); config, bill, log, stats (GET)."""

    def __init__(self, state: SimState, token: str) -> None:
        self._state = state
        self._token = token.encode()
        self._routes: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("POST", "/_sim/configure"): self._configure,
            ("POST", "/_sim/faults"): self._add_faults,
            ("POST", "/_sim/reset"): self._reset,
            ("GET", "/_sim/config"): lambda _: dataclasses.asdict(self._state.config),
            ("GET", "/_sim/bill"): lambda _: [dataclasses.asdict(line) for line in self._state.journal.bill],
            ("GET", "/_sim/log"): lambda _: [dataclasses.asdict(arrival) for arrival in self._state.journal.arrivals],
            ("GET", "/_sim/stats"): self._stats,
        }

    async def serve(self, exchange: Exchange) -> None:
        """Answer one control request: 401 without the token, 400 with the reason for what cannot be understood."""
        raw = await exchange.read_body()
        if not hmac.compare_digest(exchange.key.encode(), self._token):
            await _reply(exchange, 401, {"error": "the control token is missing or wrong"})
            return
        route = self._routes.get((exchange.method, exchange.path))
        if route is None:
            await _reply(exchange, 404, {"error": f"no control endpoint {exchange.method} {exchange.path}"})
            return
        try:
            body = orjson.loads(raw) if raw else dict(urllib.parse.parse_qsl(exchange.query.decode()))
            answer = route(body)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            await _reply(exchange, 400, {"error": str(error)})
            return
        await _reply(exchange, 200, answer)

    def _configure(self, body: Any) -> dict[str, Any]:
        self._state.configure(body)
        return {"ok": True}

    def _add_faults(self, body: Any) -> dict[str, Any]:
        faults = [Fault.parse(value) for value in body["faults"]]
        for fault in faults:
            self._state.faults.add(fault)
        return {"added": len(faults)}

    def _reset(self, _: Any) -> dict[str, Any]:
        self._state.reset()
        return {"ok": True}

    def _stats(self, query: Any) -> dict[str, Any]:
        span = [float(query[name]) if name in query else None for name in ("from_ms", "to_ms")]
        return self._state.journal.stats(self._state.config, *span)


async def _reply(exchange: Exchange, status: int, answer: Any) -> None:
    await exchange.reply(status, [JSON], orjson.dumps(answer))
