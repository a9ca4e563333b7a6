from rateguard.engine.errors import InvalidRequest, JobFailed, RateguardError
from rateguard.jobs.delay import complete, embed

__all__ = ["InvalidRequest", "JobFailed", "RateguardError", "complete", "embed"]
