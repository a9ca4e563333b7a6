"""A worker that dies as by kill -9 at one point of its work: `python -m tests.concurrency.mortal POINT TIMES [celery's arguments]`.

TIMES: at the how many-eth passing of the point. With MORTAL_SIGNAL=SIGSTOP it stands still there instead, once, until SIGCONT.
"""

import functools
import itertools
import os
import signal
import sys

import django
from celery.__main__ import main

django.setup()

from rateguard.calls.entrance import Entrance  # noqa: E402 - Django is ready only now
from rateguard.engine.gate.redis import RedisGate  # noqa: E402
from rateguard.holding import commit  # noqa: E402
from rateguard.holding.commit import GroupCommit  # noqa: E402
from rateguard.jobs.attempts import execute  # noqa: E402
from rateguard.jobs.attempts.execute import Executor  # noqa: E402
from rateguard.jobs.ends import moving, outbox  # noqa: E402
from rateguard.jobs.line.publisher import Publisher  # noqa: E402
from rateguard.jobs.upkeep import recover  # noqa: E402
from rateguard.worker import second_calls, webhooks  # noqa: E402


def always(*_):
    return True


POINTS = {
    "granted": (Publisher, "publish", "before", always),
    "delivered": (Executor, "execute", "before", always),
    "claimed": (execute, "claim", "after", lambda claimed, *_: bool(claimed)),
    "sent": (Executor, "_sent", "after", always),
    "answered": (GroupCommit, "add", "before", always),
    "committed": (commit, "_write", "after", always),
    "settled": (RedisGate, "step", "after", lambda _, __, step: any(one.used for one in step.settle)),
    "rebuilding": (RedisGate, "open", "before", always),
    "reaping": (recover, "settle", "after", always),
    "telling": (outbox, "deliver_one", "before", always),
    "delivered_message": (webhooks, "_write", "before", always),
    "second_let_in": (second_calls, "_claimed_by", "after", always),
    "second_sent": (Entrance, "sent", "after", always),
    "second_ended": (Entrance, "settle", "before", always),
    "told": (moving, "move", "after", always),
}
"""Where it dies: owner and name of a function, before or after it, and of which calls (of its result and arguments)."""


def die_at(point, times):
    owner, name, when, counts = POINTS[point]
    function, passings = getattr(owner, name), itertools.count(1)

    def passed():
        if next(passings) == times:
            os.kill(os.getpid(), signal.Signals[os.environ.get("MORTAL_SIGNAL", "SIGKILL")])

    @functools.wraps(function)
    def mortal(*arguments, **named):
        if when == "before":
            passed()
        result = function(*arguments, **named)
        if when == "after" and counts(result, *arguments):
            passed()
        return result

    setattr(owner, name, mortal)


if __name__ == "__main__":
    die_at(sys.argv[1], int(sys.argv[2]))
    sys.argv[1:] = ["-A", "rateguard", "worker", "-l", "INFO", *sys.argv[3:]]
    main()
