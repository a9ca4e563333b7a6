"""The breaker: keeps work away from a deployment that fails."""
