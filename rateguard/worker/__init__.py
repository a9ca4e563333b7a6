"""The Celery worker: a pool of coroutines, and what lives on its loop."""
