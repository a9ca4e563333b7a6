"""The events of a job: what is told while it waits, runs and ends, in order, once, and again after a reader was cut."""
