"""`python -m rateguard.torture`: a campaign on a site of its own; several seeds one after the other, each in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rateguard.embedded import logs
from rateguard.engine.errors import RateguardError
from rateguard.torture import options, report
from rateguard.torture.options import Options
from rateguard.torture.record import Record
from rateguard.torture.schedule import plan, span_of
from rateguard.torture.site import Site

STOPPED = 130


def main() -> int:
    """Run the campaigns; returns the exit code."""
    chosen = options.parse(sys.argv[1:])
    return _one(chosen) if len(chosen.seeds) == 1 else _several(chosen)


def _one(chosen: Options) -> int:
    """A campaign in a temporary folder, which is gone afterwards unless something was wrong."""
    folder = Path(tempfile.mkdtemp(prefix="rateguard-torture-"))
    code = 1
    try:
        code = _on_a_site(folder, chosen)
    finally:
        if code in {0, STOPPED}:
            logging.getLogger().handlers = [logging.NullHandler()]  # threads that end last have a word, and the file's folder is gone
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"what every process said lies in {folder / 'logs'}", file=sys.stderr, flush=True)
    return code


def _on_a_site(folder: Path, chosen: Options) -> int:
    planned = plan(chosen.seeds[0], chosen.faults)
    record = Record(chosen.seeds[0])
    site = Site(folder, record, span_s=span_of(planned), broken=chosen.broken)
    try:
        site.start_servers()
        _set_up_django(site)
        logs.into_a_file(site.logs / "campaign.log")  # now: Django has just set up its own
        from rateguard.torture import campaign  # noqa: PLC0415 - it uses models

        outcome = campaign.run(site, record, planned, chosen)
    except KeyboardInterrupt:
        print("stopped: everything was taken down", file=sys.stderr)
        return STOPPED
    except RateguardError as error:
        print(f"the campaign could not go on: {error}\nto repeat it: {report.command_for(chosen, record.seed)}", file=sys.stderr)
        return 1
    finally:
        _keep_notes(site, record)
        site.close()
    report.show(outcome, chosen)
    if chosen.is_json:
        print(json.dumps(outcome.findings.as_json()), flush=True)
    return 0 if outcome.is_good else 1


def _keep_notes(site: Site, record: Record) -> None:
    """What happened, beside the processes' own logs."""
    faults = [f"{record.since(fault.began_at)} {fault}" for fault in record.faults]
    (site.logs / "notes.log").write_text("\n".join([*record.notes, *faults]) + "\n")
    if hasattr(site, "postgres"):
        shutil.copy(site.postgres.log, site.logs / "postgres.log")


def _set_up_django(site: Site) -> None:
    from rateguard.torture.work.world import WORK_ENVIRONMENT  # noqa: PLC0415 - its neighbours use models

    site.extra = dict(WORK_ENVIRONMENT)
    environment = site.environment
    os.environ.clear()
    os.environ.update(environment)
    import django  # noqa: PLC0415 - it reads its settings from the environment made just now

    django.setup()


def _several(chosen: Options) -> int:
    """One campaign for each seed; settings are read once a process. The last line is of all of them."""
    found: list[dict[str, Any]] = []
    codes: list[int] = []
    for seed in chosen.seeds:
        words = ["--seed", str(seed), "--jobs", str(chosen.jobs), "--faults", str(chosen.faults), "--json"]
        words += ["--broken", chosen.broken] if chosen.broken else []
        running = subprocess.Popen([sys.executable, "-m", "rateguard.torture", *words], stdout=subprocess.PIPE, text=True)
        said = _passed_on(running)
        codes.append(running.wait())
        if codes[-1] == STOPPED or not said.startswith("{"):
            return codes[-1] or 1
        found.append(json.loads(said))
    if chosen.is_json:
        print(json.dumps(report.joined(found)), flush=True)
    return max(codes)


def _passed_on(running: subprocess.Popen[str]) -> str:
    """Print what a campaign prints, but for its last line, which is returned."""
    last = ""
    for line in running.stdout or ():
        if last:
            print(last, flush=True)
        last = line.rstrip("\n")
    return last


if __name__ == "__main__":
    sys.exit(main())
