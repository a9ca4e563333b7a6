"""Rebuild the gate from the rows after it lost its data: limits with windows, budgets, reservations of running rows, waiting rows.

The epoch's row stays locked meanwhile: a claim either committed before it was raised, and is counted, or takes nothing.
What ran is charged at the latest moment at which the provider can have counted it, so no window is ever exceeded.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Iterator

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Now

from rateguard import wiring
from rateguard.engine.gate.contract import Charge, Configuration, Gate, Running
from rateguard.engine.limits.limit import Kind, LimitRecord, Metric, Need
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState, State
from rateguard.jobs.submit import WAITING_COLUMNS, waiting_from, waiting_of
from tenants.models import GateEpoch, LedgerEntry

logger = logging.getLogger(__name__)

PAGE = 5_000


def is_lost(gate: Gate) -> bool:
    """Whether the gate is empty, foreign, or of an older epoch than the rows'."""
    epoch = gate.epoch()
    return epoch is None or epoch != GateEpoch.current()


def rebuild(gate: Gate) -> None:
    """Bring the gate back from the rows. Whoever comes second finds it done."""
    began_at = time.monotonic()
    with transaction.atomic():
        epoch = GateEpoch.increase()
        if gate.epoch() == epoch - 1 and epoch > 1:
            transaction.set_rollback(True)
            return
        gate.clear()
        configuration = wiring.whole_configuration()
        gate.configure(configuration)
        gate.restore(_charges(configuration), tuple(_running()), ())
        waiting = _restore_waiting(gate)
    gate.open(epoch)
    logger.warning("gate rebuilt at epoch %d: %d jobs wait, %.2f s", epoch, waiting, time.monotonic() - began_at)


def _restore_waiting(gate: Gate) -> int:
    rows = Job.objects.filter(state=State.QUEUED).order_by("queued_at", "pk").values_list(*WAITING_COLUMNS)
    waiting = itertools.starmap(waiting_from, rows.iterator(chunk_size=PAGE))
    count = 0
    while page := tuple(itertools.islice(waiting, PAGE)):
        gate.restore((), (), page)
        count += len(page)
    return count


def _running() -> Iterator[Running]:
    """Running attempts. When each was sent is not known: it counts as of now."""
    for attempt in Attempt.objects.filter(state=AttemptState.RUNNING, job__isnull=False).select_related("job"):
        job = attempt.job
        if job is not None:
            yield Running(waiting_of(job), str(attempt.deployment_id), attempt.holder, 0, attempt.reserved_nano_usd)


def _charges(configuration: Configuration) -> tuple[Charge, ...]:
    """What counts in windows and budgets beside the running attempts."""
    windows = [record for record in configuration.limits if record.kind == Kind.WINDOW]
    on_path = {path.tenant: path.limits for path in configuration.paths}
    on_deployment = {d.id: d.limits for model in configuration.models for d in model.deployments}
    by_limit = {record.id: record for record in windows}
    longest_ms = max((record.window_ms for record in windows), default=0)
    charges = list(_spent(configuration))
    now = _database_now()
    for attempt in _ended_since(now - dt.timedelta(milliseconds=longest_ms)):
        counted_at = attempt.finished_at - dt.timedelta(milliseconds=attempt.latency_ms or 0) if attempt.finished_at else attempt.started_at
        ago_ms = max(0, int((now - counted_at).total_seconds() * 1000))
        for limit_id in (*on_path.get(str(attempt.tenant_id), ()), *on_deployment.get(str(attempt.deployment_id), ())):
            record = by_limit.get(limit_id)
            if record is not None and ago_ms <= record.window_ms:
                charges.append(Charge(limit_id, _counted(record, attempt), ago_ms))
    return tuple(charges)


def _database_now() -> dt.datetime:
    """The clock that the rows' times are of."""
    return GateEpoch.objects.annotate(now=Now()).values_list("now", flat=True).get()


def _ended_since(since: dt.datetime) -> Iterator[Attempt]:
    return Attempt.objects.exclude(state=AttemptState.RUNNING).filter(finished_at__gte=since).iterator(chunk_size=PAGE)


def _counted(record: LimitRecord, attempt: Attempt) -> int:
    """What an ended attempt counts: ours as used, a provider's as it was counted on arrival."""
    input_tokens = attempt.input_tokens + attempt.cached_tokens + attempt.cache_write_tokens
    if record.metric == Metric.PROVIDER_TOKENS and not record.gives_back:
        return max(attempt.reserved_input_tokens, input_tokens) + attempt.reserved_max_output_tokens
    return Need(input_tokens, attempt.output_tokens, attempt.output_tokens, attempt.nano_usd).of(record.metric)


def _spent(configuration: Configuration) -> Iterator[Charge]:
    """What the ledger says of each tenant with a budget."""
    spent = dict(LedgerEntry.objects.values_list("tenant_id").annotate(Sum("nano_usd")).order_by())
    budgets = {record.id for record in configuration.limits if record.kind == Kind.BUDGET}
    tenants_of: dict[str, int] = defaultdict(int)
    for path in configuration.paths:
        for limit_id in budgets.intersection(path.limits):
            tenants_of[limit_id] += spent.get(int(path.tenant), 0)
    return (Charge(limit_id, amount, 0) for limit_id, amount in tenants_of.items() if amount)
