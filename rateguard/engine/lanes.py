"""The lanes: the priority classes of jobs, strict from critical to background."""

from __future__ import annotations

import enum

from rateguard.engine.errors import InvalidRequest


class Lane(enum.IntEnum):
    """The priority class of a job; the lower number goes first. The number is what rows and the gate hold."""

    CRITICAL = 1
    HIGH = 2
    NORMAL = 3
    LOW = 4
    BACKGROUND = 5

    @property
    def label(self) -> str:
        """The lane's name as callers write it: `critical` … `background`."""
        return self.name.lower()


def parse_lane(value: str | int) -> Lane:
    """The lane of a name (any case) or number. Raises InvalidRequest(code="unknown_lane").

    >>> parse_lane("high"), parse_lane(5)
    (<Lane.HIGH: 2>, <Lane.BACKGROUND: 5>)
    """
    try:
        return Lane[value.upper()] if isinstance(value, str) else Lane(value)
    except (KeyError, ValueError):
        names = ", ".join(lane.label for lane in Lane)
        raise InvalidRequest(f"there is no lane {value!r}; the lanes are {names}", code="unknown_lane", pointer="/lane") from None


def queue_name(lane: Lane) -> str:
    """The Celery queue that carries a lane's job ids."""
    return f"llm.{lane.label}"
