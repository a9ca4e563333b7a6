"""Signals that a host project may connect to.

    from django.dispatch import receiver
    from rateguard.signals import job_ended

    @receiver(job_ended)
    def note(sender, job, state, **kwargs): ...

`job_ended`: a job that was submitted while somebody was connected has ended. Arguments: sender (the model `Job`), job (its id, a UUID),
state (`succeeded`, `failed`, `cancelled`, `expired`). It is sent after the end is committed, outside of any transaction, in the process
that ended the job (most often a worker), so connect where every process passes: in a `ready()` of an AppConfig. At least once: a process
that dies meanwhile leaves it to another, so what a receiver does must bear being done twice. A receiver that raises is logged and holds up
no other. Receivers take turns in one thread: what takes long belongs into a task of Celery.
"""

from __future__ import annotations

from django.dispatch import Signal

job_ended = Signal()
