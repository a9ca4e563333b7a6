"""How jobs end and who is told: transitions, waiters, Celery results, and what a canvas hangs on an end."""
