"""Proofs that anyone can repeat: `manage.py prove NAME`. Real processes on servers of their own, judged by the simulated provider's log."""

from __future__ import annotations

PROOFS = {"gate": "rateguard.proofs.gate.run"}
"""name → where its `run(*, seconds: float, only: str | None, is_postgres: bool) -> Report` is."""
