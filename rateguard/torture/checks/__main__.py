"""`python -m rateguard.torture.checks FILE`: judge a campaign's kept evidence again, and tell everything that was found."""

from __future__ import annotations

import argparse
from pathlib import Path

import django


def main() -> None:
    """The evidence is our own: a pickle of values that `check` wrote beside the campaign's logs."""
    parser = argparse.ArgumentParser(prog="python -m rateguard.torture.checks", description=__doc__)
    parser.add_argument("file", type=Path, help="evidence.pickle, beside the logs of a campaign")
    options = parser.parse_args()
    django.setup()
    from rateguard.torture.checks.judging import CHECKS  # noqa: PLC0415
    from rateguard.torture.checks.keeping import kept  # noqa: PLC0415 - Django is ready by now
    from rateguard.torture.checks.restarts import restarts_of  # noqa: PLC0415

    evidence = kept(options.file)
    for key, check in CHECKS.items():
        found = check(evidence)
        print(f"{key}: {found.value}", *found.lines, sep="\n  ")
    for one in restarts_of(evidence):
        since = evidence.record.since
        print(
            f"restart of {one.lost.job}.{one.lost.number}: died {since(one.died_at)}, from {since(one.base_at)}, "
            f"again {since(one.next_at)}: {one.took_s:.1f} s with room"
        )


if __name__ == "__main__":
    main()
