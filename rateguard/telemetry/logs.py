"""Logs: JSON lines, or readable ones where stderr is a terminal. structlog and the standard library write the same lines.

    log = structlog.get_logger(__name__)
    with structlog.contextvars.bound_contextvars(job_id=..., attempt=...):
        log.info("job settled", cost_nano_usd=750)

Names to bind: request_id, job_id, attempt, tenant.
"""

from __future__ import annotations

import contextlib
import logging
import logging.config
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from rateguard.telemetry.redact import redact_event

# Libraries that say at INFO what they do all day.
_QUIET = {
    "aiohttp.access": "WARNING",
    "uvicorn.access": "WARNING",
    "asyncio": "WARNING",
    "django.request": "ERROR",  # at WARNING it writes a line for each refusal: a full queue must not cost a line a caller
    "axes": "WARNING",
    "kombu": "WARNING",
    "httpx": "WARNING",  # a line a request; of an official client under the gate also one with an address that was never asked
    "httpx2": "WARNING",
    "celery.worker.strategy": "WARNING",
}


def _shared() -> list[Processor]:
    """The steps that every line takes, ours or a library's."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _dumps(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS, default=str).decode()


def _renderer(*, is_terminal: bool) -> Processor:
    if is_terminal:
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(serializer=_dumps)


def formatter(*, is_terminal: bool) -> structlog.stdlib.ProcessorFormatter:
    """The formatter of every handler: exceptions as text (never with local variables), then redaction, then the line."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.UnicodeDecoder(),
            redact_event,
            _renderer(is_terminal=is_terminal),
        ],
    )


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to stderr. A line that cannot be formatted is named by its place alone: Python's own report would show its raw values."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- the name that logging calls
        """Say which call failed to log."""
        error = sys.exc_info()[0]
        with contextlib.suppress(ValueError):  # the stream is closed: the process ends
            self.stream.write(
                f"a log line of {record.pathname}:{record.lineno} could not be written: {error.__name__ if error else 'unknown'}\n"
            )


def configure_logging(options: Mapping[str, Any] | None = None) -> None:
    """Send all logs of the process to stderr. options: `{"level": "INFO"}`. May be called again."""
    level = (options or {}).get("level", "INFO")
    is_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(capture=True)
    flow_up = {"handlers": [], "propagate": True}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": formatter, "is_terminal": is_terminal}},
            "handlers": {"stderr": {"()": StderrHandler, "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                **dict.fromkeys(("django", "django.server", "celery", "uvicorn", "uvicorn.error", "py.warnings"), flow_up),
                **{name: {**flow_up, "level": quiet} for name, quiet in _QUIET.items()},
            },
        }
    )
