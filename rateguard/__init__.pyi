from rateguard import transport as transport
from rateguard.api.layers.waiting import waits
from rateguard.embedding import APPS, celery_settings
from rateguard.engine.errors import InvalidRequest, JobDoesNotExist, JobFailed, JobNotCommitted, LimitInTheWay, NotAllowed, RateguardError
from rateguard.jobs.ends.completion import Completion
from rateguard.python.context import context
from rateguard.python.delay import complete, embed
from rateguard.python.within import run

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
    "transport",
    "waits",
]
