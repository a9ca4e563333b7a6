from rateguard.engine.errors import InvalidRequest, JobFailed, RateguardError
from rateguard.jobs.delay import complete, embed
from rateguard.jobs.within import run

__all__ = ["InvalidRequest", "JobFailed", "RateguardError", "complete", "embed", "run"]
