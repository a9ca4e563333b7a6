from rateguard.engine.errors import InvalidRequest, JobDoesNotExist, JobFailed, JobNotCommitted, LimitInTheWay, NotAllowed, RateguardError
from rateguard.jobs.completion import Completion
from rateguard.jobs.delay import complete, embed
from rateguard.jobs.within import run

__all__ = [
    "Completion",
    "InvalidRequest",
    "JobDoesNotExist",
    "JobFailed",
    "JobNotCommitted",
    "LimitInTheWay",
    "NotAllowed",
    "RateguardError",
    "complete",
    "embed",
    "run",
]
