"""`python -m rateguard.engine.providers.sim`: the simulated provider alone, without Django."""

from __future__ import annotations

import argparse
from pathlib import Path

from rateguard.engine.providers.sim.server import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options, shared with `manage.py simprovider`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write each arrival and each line of the bill here before answering")
    parser.add_argument("--stop-with-stdin", action="store_true", help="stop when stdin ends, as it does when the parent dies")


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m rateguard.engine.providers.sim", description=__doc__)
    add_arguments(parser)
    options = parser.parse_args()
    serve(options.host, options.port, stop_with_stdin=options.stop_with_stdin, log=options.log)


if __name__ == "__main__":
    main()
