"""Learns from what the providers counted how far our counts are from theirs: a step of the caretaker, each minute."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Any

from django.db.models import F, Max
from django.utils import timezone

from rateguard.engine.tokens.calibration import LEAST_TOKENS, learn
from rateguard.jobs.insight.calibrated import as_learned
from rateguard.jobs.models import Attempt, Calibration
from rateguard.jobs.states import AttemptState

PAGE = 2_000
"""Answers of a round: the latest; what a busy minute has beyond them says the same."""
LOOK_BACK = dt.timedelta(hours=1)


def calibrate() -> int:
    """Learn from the answers since the last round; returns how many there were. Answers that we counted ourselves say nothing."""
    since = Calibration.objects.aggregate(Max("read_until"))["read_until__max"] or timezone.now() - LOOK_BACK
    rows = Attempt.objects.filter(
        state=AttemptState.SUCCEEDED, is_estimated=False, finished_at__gt=since, job__counted_tokens__gte=LEAST_TOKENS
    ).annotate(billed=F("input_tokens") + F("cached_tokens") + F("cache_write_tokens"))
    columns = ("finished_at", "deployment_id", "job__counted_tokens", "billed")
    answers: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    newest = list(rows.order_by("-finished_at").values_list(*columns)[:PAGE])
    for finished_at, deployment_id, counted, billed in reversed(newest):
        answers[deployment_id].append((finished_at, counted, billed))
    for deployment_id, found in sorted(answers.items()):
        _write(deployment_id, found)
    return len(newest)


def _write(deployment_id: int, answers: list[tuple[Any, ...]]) -> None:
    row, _ = Calibration.objects.get_or_create(deployment_id=deployment_id)
    now = learn(as_learned(row), [(counted, billed) for _, counted, billed in answers])
    row.mean_permille, row.samples, row.bins, row.read_until = now.mean_permille, now.samples, list(now.bins), answers[-1][0]
    row.save()
