"""Random cuts and shapes are judged by what comes out, not by how long a busy machine takes over them."""

from hypothesis import HealthCheck, settings

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")
