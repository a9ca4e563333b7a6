"""Canvases that lie in each other: each comes to its end, and where a part fails no step waits for ever."""

import datetime as dt

import pytest
from celery import chain, chord, group, states
from celery.result import AsyncResult
from django.utils import timezone
from django_celery_results.models import ChordCounter

from rateguard import complete
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.models import Job, OutboxRow
from rateguard.jobs.states import TERMINAL, State
from tests.line import MODEL, wait_for

WAIT_S = 20
pytestmark = pytest.mark.long


def ask(text, **options):
    """A call of the simulated model, as a step of a canvas."""
    return complete.s(text, model=MODEL, tenant="acme", max_tokens=20, **options)


def first():
    """A step that gets nothing."""
    return ask("hello")


def then():
    """A step that gets what came before."""
    return ask("After {previous}")


SHAPES = {
    "a chord in a chord": (lambda first: chord([chord([first(), ask("b")], then()), ask("c")], then()), 5),
    "a chord whose body is a group": (lambda first: chord([first(), ask("b")], group(then(), then())), 4),
    "a chord whose body is a chain": (lambda first: chord([first(), ask("b")], chain(then(), then())), 4),
    "a chain that ends in a group": (lambda first: chain(first(), group(then(), then())), 3),
    "a group after a group": (lambda first: chain(group(first(), ask("b")), group(then(), then()), then()), 5),
    "a chain in a chord in a chain": (lambda first: chain(first(), chord([chain(then(), then()), then()], then()), then()), 6),
    "a chain at the head of a chord": (lambda first: chord([chain(first(), then()), ask("c")], then()), 4),
    "a group in a group": (lambda first: group(group(first(), ask("b")), chain(ask("c"), then())), 4),
    "a chain of chords": (lambda first: chain(chord([first(), ask("b")], then()), chord([then(), then()], then()), then()), 7),
}


def leaves(result):
    """The single results of what a canvas gives."""
    return [leaf for one in result.results for leaf in leaves(one)] if hasattr(result, "results") else [AsyncResult(result.id)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_comes_to_its_end_with_each_job_once(line, station, shape):
    make, jobs = SHAPES[shape]
    result = make(first)()
    for one in leaves(result):
        assert one.get(timeout=WAIT_S).text
    wait_for(lambda: not OutboxRow.objects.exists())
    assert Job.objects.filter(state=State.SUCCEEDED).count() == Job.objects.count() == jobs
    assert not ChordCounter.objects.exists()


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"a group in a group"}))
def test_where_a_part_fails_no_step_waits_for_ever(line, station, shape):
    make, _ = SHAPES[shape]
    result = make(lambda: ask("hello", run_at=timezone.now() + dt.timedelta(hours=1)))()
    cancel(Job.objects.get(state=State.SCHEDULED))
    for one in leaves(result):
        wait_for(lambda one=one: one.state in {states.FAILURE, states.REVOKED})
    wait_for(lambda: not Job.objects.exclude(state__in=TERMINAL).exists() and not OutboxRow.objects.exists())
    assert not ChordCounter.objects.exists()
