"""The line's fixtures."""

from tests.line import fragile, line, live, own_valkey, sim, sim_process, station

__all__ = ["fragile", "line", "live", "own_valkey", "sim", "sim_process", "station"]
