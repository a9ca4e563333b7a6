"""The options of `up`, as `manage.py up` and `python -m rateguard.up` read them."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from pathlib import Path

PORT = 8000
STATE_VARIABLE = "RATEGUARD_STATE_DIR"
_NAME = re.compile(r"[-a-zA-Z0-9_]{1,64}")

EPILOG = """\
examples:
  OPENAI_API_KEY=sk-… python3 manage.py up      deployments of OpenAI's models, with limits that you can change
  python3 manage.py up --sim                    a simulated provider, without any key
  python3 manage.py up --port 8001 --state /srv/rateguard

From the same folder every other command works on what `up` runs: manage.py limit, budget, tenant, apikey, job, doctor …
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """state: the folder of all that lasts. host, port: where the web process listens. with_sim: start a simulated provider."""

    state: Path
    host: str
    port: int
    tenant: str
    with_sim: bool
    is_json: bool


def parse(arguments: list[str]) -> Options:
    """The options of these arguments; ends the process with a message where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="manage.py up",
        description="Runs rateguard on this machine for real work: database, Valkey, web process, worker. Ctrl-C ends it, its state stays.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Path(os.environ.get(STATE_VARIABLE, ".rateguard"))
    parser.add_argument("--state", type=Path, default=default, metavar="DIR", help=f"where everything is kept (default: {default})")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", type=_port, default=PORT, help=f"the port to listen on (default: {PORT})")
    parser.add_argument("--tenant", type=_name, default="default", metavar="NAME", help="the first tenant (default: default)")
    parser.add_argument("--sim", action="store_true", help="start the simulated provider too, as the account `sim`")
    parser.add_argument("--json", action="store_true", help="print one JSON object when all is ready, and nothing else")
    found = parser.parse_args(arguments)
    return Options(found.state.absolute(), found.host, found.port, found.tenant, with_sim=found.sim, is_json=found.json)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("a tenant's name has 1 to 64 letters, digits, - or _")
    return text
