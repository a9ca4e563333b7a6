"""Celery tasks of a project that works in runs: for a worker of the tests (`-I tests.run_tasks`)."""

from asgiref.sync import sync_to_async
from celery import shared_task

import rateguard
from rateguard import complete

MODEL = "sim-1"


@shared_task(ignore_result=True)
def ask(user):
    """A task that submits a job."""
    complete.delay("Hello", model=MODEL, tenant="acme", user=user, max_tokens=20)


@shared_task(ignore_result=True)
async def ask_on_the_loop(user):
    """The same as a coroutine."""
    await sync_to_async(complete.delay)("Hello", model=MODEL, tenant="acme", user=user, max_tokens=20)


@shared_task(ignore_result=True)
def pass_on(user):
    """A task that publishes another."""
    ask.delay(user)


@shared_task(ignore_result=True)
async def pass_on_on_the_loop(user):
    """The same as a coroutine."""
    await sync_to_async(ask_on_the_loop.delay)(user)


@shared_task(ignore_result=True)
def begin_inside(user):
    """A task that begins a run of its own, inside the one around it."""
    with rateguard.run(name="inner"):
        ask.delay(user)


@shared_task(bind=True, ignore_result=True, max_retries=1)
def ask_at_the_second_try(self, user):
    """A task that is retried."""
    if not self.request.retries:
        raise self.retry(countdown=0)
    ask(user)
