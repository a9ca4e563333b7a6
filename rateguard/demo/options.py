"""The demo's options, as `manage.py demo` and `python -m rateguard.demo` read them."""

from __future__ import annotations

import argparse
import dataclasses

from rateguard.demo.workload import DEFAULT_JOBS, ROUND, rounded_up


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """jobs: a multiple of 15. ends: stop after the work instead of serving. is_json: one JSON object as the last line."""

    jobs: int
    ends: bool
    is_json: bool


def parse(arguments: list[str]) -> Options:
    """The options of these arguments; ends the process with a message where they are wrong."""
    parser = argparse.ArgumentParser(prog="manage.py demo", description="The whole line on this machine, live; nothing is left behind.")
    jobs_help = f"how many jobs, rounded up to a multiple of {ROUND} (default: {DEFAULT_JOBS})"
    parser.add_argument("--jobs", type=_jobs, default=DEFAULT_JOBS, metavar="N", help=jobs_help)
    parser.add_argument("--exit", action="store_true", help="end after the work; fail if a job did not end or the books do not close")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object in the last line")
    found = parser.parse_args(arguments)
    return Options(rounded_up(found.jobs), ends=found.exit, is_json=found.json)


def _jobs(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 100_000:
        raise argparse.ArgumentTypeError("a number of jobs from 1 to 100000")
    return number
