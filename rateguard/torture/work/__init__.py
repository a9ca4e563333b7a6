"""The work of a campaign: rows that make everything matter (limits, budgets, two accounts), and callers that behave as good clients do."""

from __future__ import annotations

from rateguard.torture.work.traffic import Traffic
from rateguard.torture.work.world import ACCOUNTS, WORK_ENVIRONMENT, setup

__all__ = ["ACCOUNTS", "WORK_ENVIRONMENT", "Traffic", "setup"]
