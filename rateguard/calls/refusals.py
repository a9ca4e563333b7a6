"""Why a call was not let in, as an error that says what is in the way and when to come again."""

from __future__ import annotations

from rateguard import wiring
from rateguard.calls.call import Call
from rateguard.engine.errors import GateError, InvalidRequest, LimitInTheWay, RateguardError
from rateguard.engine.gate.contract import Refusal, Refused
from rateguard.engine.limits.limit import Need
from rateguard.jobs.insight.naming import in_words
from rateguard.jobs.intake.in_time import no_room
from rateguard.jobs.places import need_at
from rateguard.jobs.upkeep.downgrade import cheaper_model
from rateguard.jobs.upkeep.refuse import why

FULL_RETRY_MS = 1_000


def late(call: Call, timeout_s: float) -> RateguardError:
    """It has waited for so long as it may. Asks the gate what is in the way."""
    places = wiring.directory().places_for(call.model, call.tenant_id) or ()
    try:
        return no_room(
            path=call.path,
            lane=call.lane,
            places=places,
            tenant_id=call.tenant_id,
            model=call.model,
            need=_need(call),
            within_s=timeout_s,
        )
    except GateError as error:
        return error


def _need(call: Call) -> Need:
    places = wiring.directory().places_for(call.model, call.tenant_id) or ()
    return need_at(places, call.input_tokens, call.output_tokens, call.max_output_tokens, call.price_words.split())


def refusal(call: Call, refused: Refused) -> RateguardError:
    """The gate never grants it, as things stand."""
    match refused.reason:
        case Refusal.NOT_CONFIGURED:
            message = f"the gate knows nothing of what this call names ({refused.binding}): was it deleted just now?"
            return InvalidRequest(message, code="unknown_model" if refused.binding == call.gate_model else "unknown_run")
        case Refusal.EXCEEDS_LIMIT:
            return InvalidRequest(why(refused.reason, refused.binding), code=refused.reason.value)
        case Refusal.TOO_MANY_NODES:
            return _in_the_way(refused.reason.value, why(refused.reason, refused.binding), "live names of the tenant")
        case _:
            return _spent(refused)


def _spent(refused: Refused) -> LimitInTheWay:
    """A budget is spent; one that names a cheaper model sends jobs there, and tells a call of it."""
    cheaper = cheaper_model(refused.binding) if refused.reason == Refusal.DOWNGRADE else None
    message = why(Refusal.BUDGET_EXHAUSTED, refused.binding)
    code = Refusal.BUDGET_EXHAUSTED.value
    return _in_the_way(code, f"{message}; its cheaper model is {cheaper}" if cheaper else message, in_words(refused.binding), "nano_usd")


def _in_the_way(code: str, message: str, limit: str, unit: str = "requests") -> LimitInTheWay:
    return LimitInTheWay(message, code=code, scope_kind="tenant", scope="", limit=limit, unit=unit)


def full() -> LimitInTheWay:
    """The process holds as many ends as it may while the database is away, and lets nobody in before they are written."""
    return LimitInTheWay(
        "this process waits for its database and takes no more calls now",
        code="no_room_in_time",
        scope_kind="process",
        scope="",
        limit="ends that wait for the database",
        retry_after_ms=FULL_RETRY_MS,
    )
