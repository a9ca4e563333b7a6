"""One way to ask: which rollups can answer a question, and what may be asked of them. Raises InvalidRequest for what none can."""

from __future__ import annotations

from typing import Never

from rateguard.engine.errors import InvalidRequest
from tenants.usage.days import COLUMNS as OF_DAYS
from tenants.usage.days import read_days
from tenants.usage.quarters import COLUMNS as OF_QUARTERS
from tenants.usage.quarters import read_quarters
from tenants.usage.question import LONGEST, Answer, Per, Question

DIMENSIONS = (*OF_QUARTERS, "user", "label")
MOST_LINES = 500
_BY_DAY = {"user", "label"}


def is_by_day(names: set[str]) -> bool:
    """Whether these dimensions and filters are kept by day of UTC alone."""
    return bool(_BY_DAY & names)


def usage(question: Question) -> Answer:
    """Answer a question. Raises InvalidRequest: `invalid_parameter`."""
    _check_span(question)
    names = {*question.dimensions, *question.filters}
    if not is_by_day(names):
        return read_quarters(question)
    _check_days(question, names)
    return read_days(question)


def _check_span(question: Question) -> None:
    length = question.span.end - question.span.start
    if length.total_seconds() <= 0:
        _refuse("from lies before to")
    if length > LONGEST[question.per]:
        _refuse(
            f"with per={question.per} ask for at most {LONGEST[question.per].days} days at once: from and to are {length.days} days apart"
        )


def _check_days(question: Question, names: set[str]) -> None:
    if names >= _BY_DAY or names - set(OF_DAYS):
        _refuse(
            "users and labels are counted by themselves: ask for user or for label, at most with tenant, and with no other group or filter"
        )
    if question.per == Per.HOUR:
        _refuse("users and labels are counted by day: per is day, month or total")
    if question.zone.key != "UTC":
        _refuse("users and labels are counted by days of UTC: leave time_zone out, or write UTC")


def _refuse(message: str) -> Never:
    raise InvalidRequest(message, code="invalid_parameter")
