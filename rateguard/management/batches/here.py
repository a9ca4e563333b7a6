"""A file of jobs in the project's own database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, connection

from rateguard.api.batches.content import JsonLines, Options
from rateguard.api.batches.lines import LineReader
from rateguard.api.batches.reading import asked_of
from rateguard.api.batches.rendering import render_batch, render_error
from rateguard.jobs.batches.asked import LinesRefused
from rateguard.jobs.batches.closing import close_if_done
from rateguard.jobs.batches.progress import progress_of
from rateguard.jobs.batches.results import pages_of
from rateguard.jobs.batches.taking import take_batch
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Batch
from rateguard.management.batches.contract import MOST_TOLD, refused
from rateguard.management.batches.file import JobsFile
from tenants.models import Tenant

HAND_OVER_S = 5.0
"""How long what was submitted may take to reach the gate; the sweeper brings in the rest."""


class Here:
    """Work of a tenant, submitted by this process."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def submit(self, file: JobsFile, options: Options) -> tuple[dict[str, Any], bool]:
        """By the function that REST calls too. Raises CommandError, InvalidRequest."""
        asked = asked_of(options, self._tenant, idempotency_key=file.key(), via="shell")
        reader = LineReader(self._tenant, options.job, via="shell")
        try:
            taken = take_batch(asked, JsonLines(file.unpacked(), options), reader)
        except LinesRefused as refusal:
            lines = [{"line": fault.line, "message": fault.message, "pointer": fault.pointer} for fault in refusal.faults]
            raise refused(str(refusal), lines, refusal.count) from None
        return _shown(taken.batch), taken.is_new

    def look(self, batch: str) -> dict[str, Any] | None:
        """None while the database is away."""
        try:
            row = _row(batch)
            close_if_done(row)
            return _shown(row)
        except DatabaseError:
            connection.close()
            return None

    def errors(self, batch: str) -> list[dict[str, Any]]:
        """From their rows."""
        return [render_error(error) for error in _row(batch).errors.order_by("line")[:MOST_TOLD]]

    def results(self, batch: str) -> Iterator[bytes]:
        """Page by page."""
        return pages_of(_row(batch))

    def close(self) -> None:
        """What this process has for the gate goes out now."""
        if process_pump.cache_info().currsize:
            process_pump().stop(HAND_OVER_S)


def _row(batch: str) -> Batch:
    return Batch.objects.get(pk=uuid.UUID(batch))


def _shown(row: Batch) -> dict[str, Any]:
    progress = progress_of(row)
    return render_batch(row, progress.counts, progress)
