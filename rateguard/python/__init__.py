"""The door for Python: `complete.delay()`, its results, contexts and runs."""
