"""A campaign's options, as `manage.py torture` and `python -m rateguard.torture` read them."""

from __future__ import annotations

import argparse
import dataclasses

DEFAULT_JOBS, FULL_JOBS = 400, 20_000
DEFAULT_SEED = 1
FULL_SEEDS = 3
DEFAULT_FAULTS, FULL_FAULTS = 28, 205
BROKEN = ("lost_settle", "doubled_entry", "missed_renewal", "skipped_fence", "early_ack")
"""Faults in our own code that a campaign must find: broken.py says what each does."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """seeds: one campaign each. jobs, faults: of each campaign; faults without the provider's. broken: see BROKEN, or ""."""

    seeds: tuple[int, ...]
    jobs: int
    faults: int
    is_json: bool = False
    broken: str = ""


def parse(arguments: list[str]) -> Options:
    """The options of these arguments; ends the process with a message where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="manage.py torture",
        description="Real processes, real requests, faults of every kind from a seeded schedule; then what must be true is checked. "
        "Exit code 1 where a promise is not kept.",
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, metavar="N", help=f"which schedule and work (default: {DEFAULT_SEED})")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object in the last line")
    parser.add_argument(
        "--full", action="store_true", help=f"{FULL_SEEDS} seeds from --seed on, each with {FULL_JOBS:,} jobs and {FULL_FAULTS} faults"
    )
    parser.add_argument("--jobs", type=_from(1, 1_000_000), metavar="N", help=f"how many jobs (default: {DEFAULT_JOBS})")
    parser.add_argument("--faults", type=_from(0, 10_000), metavar="N", help=f"how many faults (default: {DEFAULT_FAULTS})")
    parser.add_argument("--broken", choices=BROKEN, default="", help="run with this fault of our own code, which a check must find")
    found = parser.parse_args(arguments)
    jobs, faults = (FULL_JOBS, FULL_FAULTS) if found.full else (DEFAULT_JOBS, DEFAULT_FAULTS)
    seeds = tuple(range(found.seed, found.seed + (FULL_SEEDS if found.full else 1)))
    return Options(
        seeds,
        jobs if found.jobs is None else found.jobs,
        faults if found.faults is None else found.faults,
        is_json=found.json,
        broken=found.broken,
    )


class _from:  # noqa: N801 - a type of argparse
    """Whole numbers of a range."""

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def __call__(self, text: str) -> int:
        """The number. Raises ArgumentTypeError."""
        try:
            number = int(text)
        except ValueError:
            number = self._least - 1
        if not self._least <= number <= self._most:
            raise argparse.ArgumentTypeError(f"a whole number from {self._least} to {self._most}")
        return number
