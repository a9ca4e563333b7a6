"""Everything that the simulated provider knows: its configuration, the load of each account, the faults to come, the journal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.sim.buckets import Bucket
from rateguard.engine.providers.sim.config import OUTPUT_TOKENS, TOKENS, LimitRule, SimConfig, is_bucket
from rateguard.engine.providers.sim.faults import Fault, FaultScript
from rateguard.engine.providers.sim.journal import Arrival, BillLine, Journal, bill_nano_usd
from rateguard.engine.providers.sim.log_file import NoLog
from rateguard.engine.providers.sim.meters import Load, Meter
from rateguard.engine.providers.sim.prompt_cache import PromptCache
from rateguard.engine.providers.sim.voices.asked import Headers, Need, Used
from rateguard.engine.providers.sim.voices.voice import Voice
from rateguard.engine.providers.sim.windows import Window
from rateguard.engine.providers.sim.wire import Exchange, monotonic_s, now_ms


@dataclasses.dataclass(slots=True)
class Claim:
    """What an accepted request holds of its account's limits: `tokens` may be given back, `output` is charged as it is produced."""

    arrival: Arrival
    tokens: list[tuple[Meter, Load]] = dataclasses.field(default_factory=list)
    output: list[Meter] = dataclasses.field(default_factory=list)


class SimState:
    """One provider. Used by one event loop. `log`: where what happens is written before the caller hears of it."""

    def __init__(self, config: SimConfig | None = None, log: NoLog | None = None) -> None:
        self.config = config or SimConfig()
        self._file = log or NoLog()
        self.journal = Journal()
        self.faults = FaultScript()
        self.cache = PromptCache()
        self._meters: dict[tuple[str, str], list[Meter]] = {}

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Replace the named sections. New limits know what was accepted before. Raises ValueError or TypeError for what is unknown."""
        self.config = self.config.merged(changes)
        if "limits" in changes:
            self._meters.clear()

    def reset(self) -> None:
        """Forget arrivals, bill, faults, cached prompts and load; keep the configuration."""
        self._file.write("reset")
        self.journal = Journal()
        self.faults.clear()
        self.cache.clear()
        self._meters.clear()

    def take_fault(self, exchange: Exchange, model: str) -> Fault | None:
        """The scripted fault that this request meets."""
        fault = self.faults.take(exchange.attempt_id, exchange.key, model)
        if fault is not None:
            self.journal.faults_served += 1
            exchange.fault = fault.kind.value
        return fault

    def count(self, exchange: Exchange, voice: Voice, model: str, need: Need) -> Meter | Claim:
        """Count a request at this moment: accepted, or refused by the limit that has no room, all or nothing."""
        at_ms = exchange.counted_ms
        meters = self._meters_of(exchange, voice, model)
        full = next((meter for meter in meters if not meter.has_room(at_ms, need.of(meter.rule.metric))), None)
        arrival = self._log(exchange, voice, model, need, 200 if full is None else 429, is_accepted=full is None)
        if full is not None:
            return full
        claim = Claim(arrival)
        for meter in meters:
            metric = meter.rule.metric
            if metric == OUTPUT_TOKENS:
                claim.output.append(meter)
                continue
            load = meter.add(at_ms, need.of(metric))
            if metric == TOKENS:
                claim.tokens.append((meter, load))
        return claim

    def produce(self, claim: Claim, tokens: int) -> None:
        """Charge output as it is produced."""
        claim.arrival.output_tokens += tokens
        at_ms = now_ms()
        for meter in claim.output:
            meter.add(at_ms, tokens)

    def settle(self, exchange: Exchange, claim: Claim, settled_tokens: int | None) -> None:
        """The request is over: what its provider gives back is free again."""
        if settled_tokens is not None:
            claim.arrival.settled_tokens = settled_tokens
            at_ms = now_ms()
            for meter, load in claim.tokens:
                meter.change(load, settled_tokens, at_ms)
        if settled_tokens is not None or claim.output:
            arrival = claim.arrival
            self._file.write("settled", request_id=exchange.request_id, settled_tokens=settled_tokens, output_tokens=arrival.output_tokens)

    def log_refusal(self, exchange: Exchange, voice: Voice, model: str, need: Need, status: int) -> None:
        """Note a request that a fault refused: it takes nothing of a limit."""
        self._log(exchange, voice, model, need, status, is_accepted=False)

    def bill(self, exchange: Exchange, model: str, used: Used) -> BillLine:
        """Write one line of the bill."""
        line = self.promise_bill(exchange, model, used)
        self.journal.bill.append(line)
        return line

    def promise_bill(self, exchange: Exchange, model: str, used: Used) -> BillLine:
        """Put on disk what a stream costs if nobody lives to see its end; its line of the bill comes then."""
        line = BillLine(
            attempt_id=exchange.attempt_id,
            request_id=exchange.request_id,
            key=exchange.key,
            model=model,
            input_tokens=used.input,
            output_tokens=used.output,
            nano_usd=bill_nano_usd(
                self.config.price_of(model),
                used.input,
                used.output,
                cached=used.cached,
                written=used.written,
                written_long=used.written_long,
                tier=used.tier,
            ),
            arrived_at_ms=exchange.counted_ms,
            cached_tokens=used.cached,
            cache_write_tokens=used.written + used.written_long,
            cache_write_long_tokens=used.written_long,
            reasoning_tokens=used.reasoning,
            tier=used.tier,
        )
        self._file.write_record("bill", line)
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

    def limit_headers(self, exchange: Exchange, voice: Voice, model: str) -> Headers:
        """The account's rate-limit headers at this moment."""
        return voice.limit_headers(self._meters_of(exchange, voice, model), exchange.counted_ms)

    def _log(self, exchange: Exchange, voice: Voice, model: str, need: Need, status: int, *, is_accepted: bool) -> Arrival:
        arrival = Arrival(
            exchange.attempt_id,
            exchange.key,
            model,
            exchange.counted_ms,
            need.tokens,
            status,
            is_accepted,
            voice.provider,
            need.input_tokens,
        )
        self._file.write_record(
            "arrival",
            arrival,
            request_id=exchange.request_id,
            monotonic_s=monotonic_s(exchange.counted_ms),
            fault=exchange.fault,
        )
        exchange.is_logged = True
        self.journal.arrivals.append(arrival)
        return arrival

    def _meters_of(self, exchange: Exchange, voice: Voice, model: str) -> list[Meter]:
        """What measures a request of this account and model."""
        account = (voice.provider, exchange.key)
        meters = self._meters.get(account)
        if meters is None:
            rules = voice.rules(self.config.limits_of(exchange.key))
            meters = self._meters[account] = [self._make_meter(account, rule) for rule in rules]
        return [meter for meter in meters if meter.rule.model in {"", model}]

    def _make_meter(self, account: tuple[str, str], rule: LimitRule) -> Meter:
        meter: Meter = Bucket(rule) if is_bucket(rule, account[0]) else Window(rule)
        for arrival in self.journal.arrivals:
            if arrival.is_accepted and (arrival.provider, arrival.key) == account and rule.model in {"", arrival.model}:
                meter.add(arrival.arrived_ms, arrival.load(rule.metric))
        return meter
