"""Synchronous calls whose own end is not to be had: their process died, or no database takes it. Charged as reserved, marked estimated.

A call has no row while it runs, so what is written of it is what its reservation says: the nodes that it charged, not its labels.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence

from rateguard import wiring
from rateguard.engine.gate.contract import HeldReservation, ReservationId, Settlement
from rateguard.engine.scopes import NodeKind, kind_of, name_of, parts_of, tenant_of
from rateguard.jobs.attempts.outcome import Finished, as_reserved
from rateguard.jobs.attempts.settle import CallRecord, Ended, settle
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.states import FAIL, AttemptState


def abandon_calls(pump: Pump, held: Sequence[HeldReservation]) -> int:
    """Calls of dead holders end. Returns how many of them had not ended already."""
    if not held:
        return 0
    settled = settle([_abandoned(one) for one in held])
    mine = [one for one in held if (one.reservation.job, one.reservation.attempt) in settled]
    pump.settle([(_as_charged(one), None) for one in mine])
    return len(mine)


def call_as_reserved(one: Finished, call: CallRecord) -> Finished:
    """The end of a call whose usage or error cannot be stored."""
    usage, nano_usd = as_reserved(call.reserved_input_tokens, call.reserved_max_output_tokens, call.reserved_nano_usd)
    ended = Ended(
        job=one.ended.job,
        attempt=one.ended.attempt,
        state=AttemptState.FAILED,
        transition=FAIL,
        usage=usage,
        nano_usd=nano_usd,
        error_code="unwritable",
        error_message="the provider's answer or its usage cannot be stored",
        call=dataclasses.replace(call, labels={}),
    )
    charged = Settlement(
        one.settlement.reservation, used=True, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cost=nano_usd
    )
    return Finished(ended, charged, None)


def _abandoned(held: HeldReservation) -> Ended:
    usage, nano_usd = as_reserved(held.input_tokens, held.max_output_tokens, held.cost)
    return Ended(
        job=held.reservation.job,
        attempt=held.reservation.attempt,
        state=AttemptState.ABANDONED,
        transition=FAIL,
        usage=usage,
        nano_usd=nano_usd,
        error_code="abandoned",
        error_message=f"its process {held.holder} died",
        call=_record(held),
    )


def _record(held: HeldReservation) -> CallRecord:
    directory = wiring.directory()
    place = directory.places.get(int(held.deployment)) if held.deployment.isdecimal() else None
    named = {kind_of(part): name_of(part) for part in parts_of(held.path)}  # of several runs the innermost, which comes last
    key, run = named.get(NodeKind.KEY, ""), named.get(NodeKind.RUN)
    return CallRecord(
        tenant_id=int(tenant_of(held.path)),
        model=directory.public_name(held.model),
        deployment_id=int(held.deployment or 0),
        deployment=place.name if place else f"deployment {held.deployment}",
        holder=held.holder,
        path=held.path,
        reserved_input_tokens=held.input_tokens,
        reserved_output_tokens=held.output_tokens,
        reserved_max_output_tokens=held.max_output_tokens,
        reserved_nano_usd=held.cost,
        started_ago_ms=held.age_ms,
        api_key_id=int(key) if key.isdecimal() else None,
        team=named.get(NodeKind.TEAM, ""),
        rolegroup=named.get(NodeKind.ROLEGROUP, ""),
        role=named.get(NodeKind.ROLE, ""),
        user=named.get(NodeKind.USER, ""),
        run=uuid.UUID(run) if run else None,
    )


def _as_charged(held: HeldReservation) -> Settlement:
    return Settlement(
        ReservationId(held.reservation.job, held.reservation.attempt),
        used=True,
        input_tokens=held.input_tokens,
        output_tokens=held.max_output_tokens,
        cost=held.cost,
    )
