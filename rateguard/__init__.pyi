from rateguard.embedding import APPS, celery_settings
from rateguard.engine.errors import InvalidRequest, JobDoesNotExist, JobFailed, JobNotCommitted, LimitInTheWay, NotAllowed, RateguardError
from rateguard.jobs.completion import Completion
from rateguard.jobs.context import context
from rateguard.jobs.delay import complete, embed
from rateguard.jobs.within import run

__version__: str

__all__ = [
    "APPS",
    "Completion",
    "InvalidRequest",
    "JobDoesNotExist",
    "JobFailed",
    "JobNotCommitted",
    "LimitInTheWay",
    "NotAllowed",
    "RateguardError",
    "__version__",
    "celery_settings",
    "complete",
    "context",
    "embed",
    "run",
]
