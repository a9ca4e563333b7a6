"""Breaks the engine in small ways, one at a time, and asks whether the suite notices. Run by `python -m tests.mutation`, not in CI."""
