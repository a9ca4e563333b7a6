"""The line's fixtures."""

from tests.line import line, live, sim, sim_process, station

__all__ = ["line", "live", "sim", "sim_process", "station"]
