"""`manage.py torture`: real processes, real requests, faults from a seeded schedule, and what must be true afterwards."""
