"""`python -m rateguard.up`: take the state, make the environment of it, then be Django's in it."""

from __future__ import annotations

import os
import sys

from rateguard.up import options
from rateguard.up.catalogue import keys_in
from rateguard.up.place import make_place, url_of, write_files
from rateguard.up.state import PATIENCE_S, CannotStart, State, is_free


def main() -> int:
    """Run until Ctrl-C; returns the exit code."""
    chosen = options.parse(sys.argv[1:])
    os.umask(0o077)  # whatever our processes write is nobody else's to read
    try:
        state = State(chosen.state)
        with state.locked(url_of(chosen)):
            return _run(state, chosen)
    except CannotStart as error:
        print(f"up cannot start: {error}", file=sys.stderr)
        return 1


def _run(state: State, chosen: options.Options) -> int:
    if not is_free(chosen.host, chosen.port, PATIENCE_S):
        another = chosen.port + 1 if chosen.port < 65_535 else options.PORT
        raise CannotStart(
            f"port {chosen.port} of {chosen.host} is taken: end what listens there, or choose another: manage.py up --port {another}"
        )
    found = keys_in(os.environ)
    place = make_place(state, chosen)
    write_files(place)
    os.environ.clear()
    os.environ.update(place.environment)
    import django  # noqa: PLC0415 - it reads its settings from the environment made just now

    try:
        django.setup()
    except Exception as error:  # noqa: BLE001 - a wrong setting in the shell, which the message names
        raise CannotStart(str(error)) from None
    from rateguard.up.run import run  # noqa: PLC0415 - models load after the set-up

    return run(place, chosen, found)


if __name__ == "__main__":
    sys.exit(main())
