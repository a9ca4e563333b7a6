"""`python -m tests.mutation`: draw mutants by a seed, try them, and write what came of it beside this file.

With `--only TEXT` only mutants whose name holds the text are tried, and nothing is written.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import redis

from rateguard.embedded.valkey import start_valkey
from tests.mutation.asking import ENGINE
from tests.mutation.drawing import draw, found_again
from tests.mutation.loading import Loads
from tests.mutation.mutant import Mutant
from tests.mutation.results import stored, write_results
from tests.mutation.suite import History, Measured, split
from tests.mutation.trying import Copy, Verdict

PROJECT = Path(__file__).resolve().parents[2]


def say(text: str) -> None:
    """One line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=320, help="mutants; spread over the files by their lines")
    parser.add_argument("--workers", type=int, default=2, help="mutants at a time; one a core")
    parser.add_argument("--most-s", type=float, default=30, help="asked first: as many tests as ran in so many seconds on the sound engine")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="only mutants whose name holds one of these texts")
    parser.add_argument(
        "--without", action="append", default=[], metavar="TEXT", help="leave out tests whose name holds one of these texts"
    )
    parser.add_argument("--measured", type=Path, metavar="FILE", help="keep the tests' times on the sound engine, or take them from there")
    parser.add_argument("--list", action="store_true", help="only write RESULTS.md anew, from results.json and survivors.toml")
    parser.add_argument("--survivors", action="store_true", help="try again those that survived the last time, in the same engine")
    return parser.parse_args()


def draw_those_that_load(seed: int, count: int) -> list[Mutant]:
    with tempfile.TemporaryDirectory() as folder:
        server = start_valkey(Path(folder) / "valkey")
        with redis.Redis.from_url(server.url) as client:
            mutants = draw(PROJECT, seed, count, Loads(client))
        server.kill()
    return mutants


class Round:
    """Tries mutants, on as many copies at a time as there are workers."""

    def __init__(self, copies: list[Copy], tests: list[Measured], most_s: float) -> None:
        self._idle = copies
        self._tests = tests
        self._most_s = most_s
        self._history = History()
        self._lock = threading.Lock()

    def run(self, mutants: list[Mutant]) -> list[Verdict]:
        """All by the tests that fit the time, then those that survived by the rest."""
        with ThreadPoolExecutor(len(self._idle)) as pool:
            verdicts = list(pool.map(lambda mutant: self._try(mutant, 0), mutants))
            say(f"{sum(not verdict.is_killed for verdict in verdicts)} survived; the rest of the suite for those ...")
            again = pool.map(lambda verdict: verdict if verdict.is_killed else self._try(verdict.mutant, 1), verdicts)
            return list(again)

    def _try(self, mutant: Mutant, part: int) -> Verdict:
        with self._lock:
            copy = self._idle.pop()
            tests = split(self._history.order(mutant.path, copy.function_of(mutant), self._tests), self._most_s)[part]
        started = time.monotonic()
        try:
            verdict = copy.try_one(mutant, tests)
        finally:
            self._idle.append(copy)
        with self._lock:
            if verdict.is_killed:
                self._history.killed(mutant.path, verdict.killer)
            became, seconds = "killed" if verdict.is_killed else "SURVIVED", time.monotonic() - started
            say(f"{became:8} {seconds:5.1f} s  {mutant.name}  {verdict.killer}")
        return verdict


def measured(copy: Copy, wanted: argparse.Namespace) -> list[Measured]:
    """The tests on the sound engine; as they stand in the file of `--measured`, where there is one."""
    if wanted.measured and wanted.measured.exists():
        rows = json.loads(wanted.measured.read_text())
        return [Measured(name, seconds, twin, frozenset(functions)) for name, seconds, twin, functions in rows]
    tests = copy.measure(wanted.without)
    if wanted.measured:
        wanted.measured.write_text(json.dumps([[test.name, test.seconds, test.twin, sorted(test.functions)] for test in tests]))
    return tests


def try_all(mutants: list[Mutant], wanted: argparse.Namespace) -> list[Verdict]:
    with ExitStack() as stack:
        copies = [stack.enter_context(Copy(PROJECT)) for _ in range(wanted.workers)]
        say(f"{len(mutants)} mutants; the suite on the sound engine first ...")
        tests = measured(copies[0], wanted)
        say(f"{len(tests)} tests, {sum(test.seconds for test in tests):.0f} s")
        verdicts = Round(copies, tests, wanted.most_s).run(mutants)
    killed = sum(verdict.is_killed for verdict in verdicts)
    say(f"killed {killed} of {len(verdicts)}, {100 * killed / len(verdicts):.1f} %")
    return verdicts


def try_survivors(wanted: argparse.Namespace) -> None:
    """Where the engine has changed meanwhile, a survivor is looked for at the same line; one whose line is no more is left out."""
    known, seed = stored()
    again = {}
    for verdict in known:
        text = (PROJECT / ENGINE / verdict.mutant.path).read_text(encoding="utf-8")
        if not verdict.is_killed:
            again[verdict.mutant] = found_again(verdict.mutant, text)
    anew = {verdict.mutant: verdict for verdict in try_all([mutant for mutant in again.values() if mutant], wanted)}
    now = [anew.get(again[verdict.mutant]) if verdict.mutant in again else verdict for verdict in known]
    write_results([verdict for verdict in now if verdict], seed)


def main() -> None:
    wanted = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the copies end with us
    if wanted.list:
        write_results(*stored())
        return
    if wanted.survivors:
        try_survivors(wanted)
        return
    mutants = draw_those_that_load(wanted.seed, wanted.count)
    if wanted.only:
        try_all([mutant for mutant in mutants if any(text in mutant.name for text in wanted.only)], wanted)
    else:
        write_results(try_all(mutants, wanted), wanted.seed)


if __name__ == "__main__":
    main()
