"""Which subjects there are, and how all are looked at: at once, each with its deadline, so that one that hangs hides no other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from rateguard.doctor import broker, clocks, database, packages, prices, project, providers, server, workers
from rateguard.doctor.finding import Finding, Level, fail
from rateguard.jobs.within import Look

Subject = Callable[[], list[Finding]]


@dataclasses.dataclass(frozen=True, slots=True)
class Subjects:
    """A name, the look, and how long it may take, in seconds. is_outside: asks somebody on the internet."""

    name: str
    look: Subject
    deadline_s: float = 6.0
    is_outside: bool = False


ALL: Sequence[Subjects] = (
    Subjects("settings", project.look),
    Subjects("packages", packages.look),
    Subjects("database", database.look, deadline_s=12.0),
    Subjects("redis", server.look),
    Subjects("broker", broker.look, deadline_s=8.0),
    Subjects("workers", workers.look),
    Subjects("clocks", clocks.look),
    Subjects("providers", providers.look, deadline_s=10.0, is_outside=True),
    Subjects("prices", prices.look),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What was found of one subject."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def is_broken(self) -> bool:
        """Whether anything of it does not work."""
        return any(finding.level == Level.FAIL for finding in self.findings)


def look(subjects: Sequence[Subjects] = ALL, *, is_offline: bool = False) -> list[Seen]:
    """All subjects, in order; after the longest deadline at the latest."""
    wanted = [subject for subject in subjects if not (is_offline and subject.is_outside)]
    began_at = time.monotonic()
    looks = [(subject, Look(subject.look)) for subject in wanted]
    return [Seen(subject.name, _found(subject, running, began_at)) for subject, running in looks]


def _found(subject: Subjects, running: Look[list[Finding]], began_at: float) -> tuple[Finding, ...]:
    rest_s = max(0.0, began_at + subject.deadline_s - time.monotonic())
    try:
        return tuple(running.wait(rest_s))
    except TimeoutError:
        return (fail(f"no answer within {subject.deadline_s:g} s", "see whether it is overloaded, or a firewall swallows what is sent"),)
    except Exception as error:  # noqa: BLE001 - a look that breaks is a finding, and must not hide the others
        return (
            fail(f"it cannot be looked at: {type(error).__name__}: {_first_line(error)}", "mend what stands above first, then look again"),
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
