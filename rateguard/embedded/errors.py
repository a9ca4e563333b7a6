"""What can go wrong with a process of ours."""

from rateguard.engine.errors import RateguardError


class ServerStartError(RateguardError):
    """A server did not come up; the message holds its last words."""

    code = "server_start"


class ChildFailedError(RateguardError):
    """A supervised process ended before it was ready, or was not ready in time; the message says why."""

    code = "child_failed"
