"""`python -m rateguard.torture.work.host SEED RATE STOP`: a Django process of its own that submits by `.delay()`.

It ends by itself once the file STOP is there; SIGUSR1 makes it tell where it hangs. What it prints for the campaign: see `hosting`.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import signal
import time
from pathlib import Path

LONGEST_PAUSE_S = 2.0


def main() -> None:
    """Set Django up, then do one deed after the other."""
    parser = argparse.ArgumentParser(prog="python -m rateguard.torture.work.host", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("rate", type=float, help="deeds a second")
    parser.add_argument("stop", type=Path, help="a file: once it is there, nothing more is submitted")
    options = parser.parse_args()
    faulthandler.register(signal.SIGUSR1)
    import django  # noqa: PLC0415 - the arguments are judged first

    django.setup()
    from rateguard.jobs.line.pump import process_pump  # noqa: PLC0415 - Django is ready by now
    from rateguard.torture.work.deeds import Caller, tell  # noqa: PLC0415

    caller, chance = Caller(options.seed), random.Random(f"{options.seed} pace")
    while not options.stop.exists():
        time.sleep(min(LONGEST_PAUSE_S, chance.expovariate(options.rate)))
        caller.act()
    process_pump().stop(5.0)
    tell(ended=True)


if __name__ == "__main__":
    main()
