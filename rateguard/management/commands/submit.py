"""`manage.py submit FILE.jsonl`: many jobs at once, and their answers in the order of the lines."""

from __future__ import annotations

import codecs
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser, DjangoHelpFormatter

from rateguard.api.batches.content import REJECT, SKIP, Options, read_options
from rateguard.engine.lanes import Lane
from rateguard.management.asking import tenant_of
from rateguard.management.batches.contract import Door, told_line
from rateguard.management.batches.display import ProgressDisplay, words
from rateguard.management.batches.file import JobsFile
from rateguard.management.batches.here import Here
from rateguard.management.batches.there import There
from rateguard.management.shell import ShellCommand, told_in_words

LOOK_EVERY_S = 1.0


class Command(ShellCommand):
    """Of one file there is one batch: the same command again goes on with it, and no line is done twice. Exit code 1: not all went well."""

    help = (
        "Submit a file of jobs, one JSON object a line: as POST /api/v1/jobs takes it, or as OpenAI's batches write it. "
        "By REST where --url is given or RATEGUARD_URL and RATEGUARD_KEY are set, else in the project's own database."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """With Django's order of options."""
        return super().create_parser(prog_name, subcommand, formatter_class=DjangoHelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Which file, where to, and whether to wait."""
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="JSON Lines; FILE.jsonl.gz is unpacked on the way")
        parser.add_argument("--wait", action="store_true", help="wait until all jobs have ended, and print the answers")
        parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="with --wait: where the answers go, all at once")
        parser.add_argument("--tenant", help="who pays; DEFAULT_TENANT, else the tenant `default`, else the only one")
        parser.add_argument("--url", help="a server of rateguard's; RATEGUARD_URL by default")
        parser.add_argument("--key", help="the API key there; better the variable RATEGUARD_KEY, which nobody else sees")
        parser.add_argument("--name", default="", help="of the batch; another name does the same file once more")
        parser.add_argument(
            "--on-error", choices=(REJECT, SKIP), default=REJECT, help="lines that are no jobs: refuse all, or leave them out"
        )
        parser.add_argument("--webhook", default="", metavar="NAME", help="an endpoint of the tenant that hears of the end")
        parser.add_argument("--lane", choices=[lane.label for lane in Lane], help="of jobs whose line names none")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Submit it, or go on with it."""
        if options["out"] is not None and not options["wait"]:
            raise CommandError("-o goes with --wait")
        file = JobsFile(options["file"], options["name"])
        with told_in_words():
            asked = _options(options)
            door = _door(options)
            batch = ""
            try:
                shown, is_new = door.submit(file, asked)
                batch = shown["id"]
                self._tell_of(shown, door, is_new=is_new)
                if options["wait"]:
                    shown = self._wait(door, shown, is_quiet=options["json"])
                    self._write(door, batch, options)
            except KeyboardInterrupt:
                told = f"batch {batch} goes on" if batch else "perhaps the batch came in, perhaps not"
                raise CommandError(f"{told}; the same command goes on with it, and no line is done twice", returncode=130) from None
            finally:
                door.close()
        if options["json"] and not (options["wait"] and options["out"] is None):
            self.show(options, shown, "")
        if options["wait"]:
            _judge(shown)

    def _tell_of(self, shown: dict[str, Any], door: Door, *, is_new: bool) -> None:
        known = "" if is_new else ", which came in before"
        self.stderr.write(f"batch {shown['id']}{known}: {shown['total']:,} jobs", self.style.HTTP_NOT_MODIFIED)
        if shown["rejected"]:
            self.stderr.write(f"{shown['rejected']:,} lines are no jobs:")
            for line in door.errors(shown["id"]):
                self.stderr.write(told_line(line))

    def _wait(self, door: Door, shown: dict[str, Any], *, is_quiet: bool) -> dict[str, Any]:
        """Until it is over. While nobody answers the last that was seen stays."""
        with ProgressDisplay(is_quiet=is_quiet) as display:
            display.show(shown)
            while shown["status"] == "in_progress":
                time.sleep(LOOK_EVERY_S)
                shown = door.look(shown["id"]) or shown
                display.show(shown)
            display.show(shown, is_last=True)
        return shown

    def _write(self, door: Door, batch: str, options: dict[str, Any]) -> None:
        if options["out"] is None:
            for text in codecs.iterdecode(door.results(batch), "utf-8"):
                self.stdout.write(text, ending="")
            return
        with _whole(options["out"]) as write:
            for piece in door.results(batch):
                write(piece)


def _options(options: dict[str, Any]) -> Options:
    job = {"lane": options["lane"]} if options["lane"] else {}
    return read_options({"name": options["name"], "on_error": options["on_error"], "webhook": options["webhook"], "job": job})


def _door(options: dict[str, Any]) -> Door:
    """A tenant that is named is one of this project's, unless an address is named too."""
    key = options["key"] or os.environ.get("RATEGUARD_KEY", "")
    url = options["url"] or ("" if options["tenant"] or not key else os.environ.get("RATEGUARD_URL", ""))
    if url and not key:
        raise CommandError("say with which key: set RATEGUARD_KEY, or --key")
    return There(url, key) if url else Here(tenant_of(options["tenant"]))


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Any]:
    """Write beside it, then put it in place: whoever reads it finds all of it, or what was there before. Raises CommandError."""
    name = ""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            name = file.name
            yield file.write
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if name:
            Path(name).unlink(missing_ok=True)


def _judge(shown: dict[str, Any]) -> None:
    """Raises CommandError where not every line was answered."""
    answered = shown["counts"]["succeeded"]
    if answered < shown["total"] or shown["rejected"]:
        raise CommandError(f"{answered:,} of {shown['total'] + shown['rejected']:,} lines were answered: {words(shown)}")
