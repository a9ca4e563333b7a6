"""`python -m rateguard.demo`: make a place, take its environment, then be Django's in it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from rateguard.demo import options
from rateguard.demo.place import environment, make_place


def main() -> int:
    """Run the demo in a temporary folder that is gone afterwards; returns the exit code."""
    began_at = time.monotonic()
    chosen = options.parse(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="rateguard-demo-") as folder:
        place = make_place(Path(folder))
        ours = environment(place)
        os.environ.clear()
        os.environ.update(ours)
        import django  # noqa: PLC0415 - it reads its settings from the environment made just now

        django.setup()
        from rateguard.demo.run import run  # noqa: PLC0415 - models load after the set-up

        return run(place, chosen, began_at)


if __name__ == "__main__":
    sys.exit(main())
