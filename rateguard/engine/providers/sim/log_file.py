"""The simulated provider's log on disk: a line of JSON for each thing that happened, there before the caller could know of it.

    {"kind": "arrival", "request_id", "attempt_id", "key", "model", "monotonic_s", "arrived_ms", "counted_tokens", "status",
                        "is_accepted", "fault", and what else an Arrival has}
    {"kind": "bill",    "request_id", "attempt_id", "key", "model", "input_tokens", "output_tokens", "nano_usd", "arrived_at_ms",
                        and what else a BillLine has}
    {"kind": "settled", "request_id", "settled_tokens", "output_tokens"}   where a provider gives back, or counts output as it comes
    {"kind": "end",     "request_id", "attempt_id", "monotonic_s", "is_answered", "is_there"}
    {"kind": "reset"}   everything before is forgotten

An arrival and its bill are written before the answer's first byte leaves, so they outlive the provider's own kill -9. A request may have
several bill lines (a stream is billed in full when it begins, and by what was produced when it ends): the last one counts.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.sim.journal import Arrival, BillLine


class NoLog:
    """Where nobody asked for a log."""

    def write(self, kind: str, **fields: Any) -> None:
        """Nothing is written."""

    def write_record(self, kind: str, record: Arrival | BillLine, **fields: Any) -> None:
        """Nothing is written."""


class LogFile(NoLog):
    """A file that is only ever appended to, a whole line at a time."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, kind: str, **fields: Any) -> None:
        """Append one line; it is the kernel's when this returns. Raises OSError where the disk does not take it whole."""
        line = orjson.dumps({"kind": kind, **fields}) + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("the log's disk is full: a line was cut")

    def write_record(self, kind: str, record: Arrival | BillLine, **fields: Any) -> None:
        """Append one line with all that a record says. Raises as `write`."""
        self.write(kind, **fields, **{name: getattr(record, name) for name in _NAMES[type(record)]})


_NAMES = {record: tuple(field.name for field in dataclasses.fields(record)) for record in (Arrival, BillLine)}


@dataclasses.dataclass(slots=True)
class Written:
    """What a request left in the log. monotonic_s: of the machine's clock, when it was counted. fault: the scripted one that it met.

    is_answered: an answer went out. is_there: the caller was there at the end. bill: None where nothing was billed.
    """

    request_id: str
    arrival: Arrival
    monotonic_s: float
    fault: str = ""
    bill: BillLine | None = None
    is_answered: bool = False
    is_there: bool = False
    ended_s: float | None = None


def read_log(path: Path) -> list[Written]:
    """All requests of a log, in order of their arrival; a last line that was cut is passed over.

    Raises ConfigurationError for a line that is none, with its number.
    """
    with path.open("rb") as lines:
        return _read(lines)


def _read(lines: Iterable[bytes]) -> list[Written]:
    found: dict[str, Written] = {}
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            fields = orjson.loads(line)
            _take(found, fields.pop("kind"), fields)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"line {number} of the simulated provider's log cannot be read: {error!r}") from None
    return list(found.values())


def _take(found: dict[str, Written], kind: str, fields: dict[str, Any]) -> None:
    """One line."""
    if kind == "reset":
        found.clear()
        return
    request_id = fields["request_id"]
    match kind:
        case "arrival":
            monotonic_s, fault = fields.pop("monotonic_s"), fields.pop("fault")
            del fields["request_id"]
            found[request_id] = Written(request_id, Arrival(**fields), monotonic_s, fault)
        case "bill":
            found[request_id].bill = BillLine(**fields)
        case "settled":
            arrival = found[request_id].arrival
            arrival.settled_tokens, arrival.output_tokens = fields["settled_tokens"], fields["output_tokens"]
        case "end":
            one = found[request_id]
            one.is_answered, one.is_there, one.ended_s = fields["is_answered"], fields["is_there"], fields["monotonic_s"]
        case _:
            raise ValueError(f"unknown kind {kind!r}")
