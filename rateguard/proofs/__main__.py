"""`python -m rateguard.proofs PART`: one part of `prove gate`, on a site of its own; the last line is its lines as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable

from rateguard.proofs.findings import Line
from rateguard.proofs.gate import PARTS, STATED_S
from rateguard.proofs.site import Site, standing


def main() -> None:
    """Stand on a site, then load the part: it uses models."""
    parser = argparse.ArgumentParser(prog="python -m rateguard.proofs", description=__doc__)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--seconds", type=float, default=STATED_S)
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    began_at = time.monotonic()
    with standing(is_postgres=options.postgres) as site:
        from django.utils.module_loading import import_string  # noqa: PLC0415 - Django is ready by now

        from rateguard.jobs.line.pump import process_pump  # noqa: PLC0415

        prove: Callable[[Site, float], list[Line]] = import_string(f"rateguard.proofs.{PARTS[options.part].function}")
        try:
            lines = prove(site, options.seconds)
        finally:
            process_pump().stop(1.0)
    found = {"lines": [dataclasses.asdict(line) for line in lines], "took_s": round(time.monotonic() - began_at, 1)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
