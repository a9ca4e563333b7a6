"""Ordinary Celery tasks around jobs: for a worker of the tests (`-I tests.canvas_tasks`). They report through a Redis list, `reports`."""

import redis
from celery import shared_task
from django.conf import settings


def report(*told):
    """Say it where the test looks; a JSON text would hide of which class something is."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.rpush("reports", " ".join(map(str, told)))


@shared_task
def shout(answer):
    """A task between two jobs."""
    report(type(answer).__name__)
    return str(answer).upper()


@shared_task
async def shout_on_the_loop(answer):
    """The same as a coroutine."""
    report(type(answer).__name__)
    return str(answer).upper()


@shared_task
def count(answers):
    """A chord's body."""
    report(*(type(answer).__name__ for answer in answers))
    return len(answers)


@shared_task
def add(left, right):
    """An ordinary part of a chord."""
    return left + right


@shared_task
def explain(request, error, traceback):
    """An errback of the new style."""
    report("explain", request.id, type(error).__name__)


@shared_task(bind=True)
def note(self, task_id):
    """An errback of the old style, or a link."""
    report("note", self.request.id, task_id, self.request.parent_id)


@shared_task
def wait_here(key):
    """Takes its time."""
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=None) as client:
        client.blpop([key], timeout=60)
