"""Servers and child processes for the first run, the tests and the benchmarks: nothing here serves production."""
