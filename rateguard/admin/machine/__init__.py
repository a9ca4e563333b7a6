"""What the machine did, as lists that stay quick with a million rows, and what people may do with many rows at once."""

from rateguard.admin.machine import attempts, batches, jobs, ledger, messages, pauses, runs, trail, upkeep

__all__ = ["attempts", "batches", "jobs", "ledger", "messages", "pauses", "runs", "trail", "upkeep"]
