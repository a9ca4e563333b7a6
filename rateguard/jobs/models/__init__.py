"""What lasts of a job, a file an idea: its row (the truth), its attempts and events, who is told of its end, who takes care of all."""

from rateguard.jobs.models.attempts import Attempt, JobEvent
from rateguard.jobs.models.batches import Batch, BatchError, BatchState
from rateguard.jobs.models.calibrations import Calibration
from rateguard.jobs.models.hindrances import Hindrance
from rateguard.jobs.models.job import ENDED, ENDED_BADLY, Delivery, Job
from rateguard.jobs.models.leases import CARETAKER, Lease
from rateguard.jobs.models.messages import MessageState, WebhookMessage
from rateguard.jobs.models.outbox import OutboxKind, OutboxRow, Tells

__all__ = [
    "CARETAKER",
    "ENDED",
    "ENDED_BADLY",
    "Attempt",
    "Batch",
    "BatchError",
    "BatchState",
    "Calibration",
    "Delivery",
    "Hindrance",
    "Job",
    "JobEvent",
    "Lease",
    "MessageState",
    "OutboxKind",
    "OutboxRow",
    "Tells",
    "WebhookMessage",
]
