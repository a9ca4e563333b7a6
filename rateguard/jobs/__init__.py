"""Jobs: what lasts. A row is the truth; the gate and Celery carry hints."""
