"""`manage.py job`: submit jobs, look at them, wait for them, cancel or retry them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rateguard.api.failures.views import render_failures
from rateguard.api.jobs.many import render_many
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.follow import wait_for_end
from rateguard.jobs.insight.failures import failures
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, State
from rateguard.jobs.steering.lane import change_lane
from rateguard.jobs.steering.many import do
from rateguard.jobs.steering.requeue import requeue
from rateguard.jobs.steering.wishes import Deed
from rateguard.management.asking import add_request, submission_of
from rateguard.management.finding import named
from rateguard.management.jobs import answer_of, as_values, ended_well, find_job, listed_failures, listed_jobs, told_job
from rateguard.management.many import LANES, add_choice, chosen_by, is_wanted, preview, told
from rateguard.management.shell import moment, span, who
from rateguard.management.showing import listed
from rateguard.management.verbs import VerbCommand
from rateguard.python.whereabouts import whereabouts
from tenants.models import Tenant

HAND_OVER_S = 5.0
"""How long what was submitted may take to reach the gate before the command ends; the sweeper brings in the rest."""
MOST_LISTED = 1_000


class Command(VerbCommand):
    """With `--wait` the answer alone goes to standard output, what it took to standard error. Exit code 1: it did not succeed (in time)."""

    help = "Submit, show, list, wait for, cancel, retry, requeue jobs or move them to another lane."
    verbs = {  # noqa: RUF012 - as VerbCommand says
        "submit": "submit a job; with --wait print its answer",
        "show": "show a job with its answer",
        "list": "list jobs, the newest first",
        "wait": "wait for a job's end and print its answer",
        "cancel": "cancel jobs: what waits ends at once, what runs is asked to",
        "retry": "let jobs that failed, were cancelled or expired wait again",
        "requeue": "put jobs back in line: what runs is given up and waits again, what waits for its time goes on now",
        "lane": "move waiting jobs to another lane",
        "failures": "list what failed alike, the newest first",
    }
    examples = """\
  manage.py job submit "Say hello" --model gpt-5.4-mini --wait
  cat report.txt | manage.py job submit - --system "Summarise this" --model gpt-5.4-mini --wait 2m
  manage.py job submit --body request.json --tenant acme --lane high --label feature=greeting
  manage.py job list --tenant acme --status failed
  manage.py job failures --tenant acme
  manage.py job retry --tenant acme --fingerprint 5a1c93e07d42b681 --dry-run
  manage.py job lane --to background --label batch=nightly --yes
  manage.py job wait 01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e --timeout 30s"""

    def run_from_argv(self, argv: list[str]) -> None:
        """From a shell; this process ends with the command, so what it has for the gate goes out now."""
        try:
            super().run_from_argv(argv)
        finally:
            if process_pump.cache_info().currsize:
                process_pump().stop(HAND_OVER_S)

    # ---- submit

    def add_submit(self, parser: CommandParser) -> None:
        """What is asked, how, and whether to wait."""
        add_request(parser)
        parser.add_argument(
            "--wait", nargs="?", type=span, const=span("10m"), metavar="TIME", help="wait for the answer; 10m at most by default"
        )

    def do_submit(self, options: dict[str, Any]) -> None:
        """Submit it; wait for it if asked to."""
        submitted = submit(submission_of(options))
        job = find_job(str(submitted.job.pk))
        if options["wait"] is not None:
            self._wait(options, job, options["wait"].total_seconds())
            return
        is_told = process_pump().flush(HAND_OVER_S)
        told = "" if is_told else "; Redis does not answer, it moves as soon as that does"
        known = "" if submitted.is_new else " (by an earlier request with this key)"
        self.show(options, as_values(job), f"submitted job {job.pk}{known}{told}")

    # ---- look

    def add_show(self, parser: CommandParser) -> None:
        """Which."""
        _add_id(parser)

    def do_show(self, options: dict[str, Any]) -> None:
        """All of it."""
        job = find_job(options["job"])
        self.show(options, as_values(job), told_job(job))

    def add_list(self, parser: CommandParser) -> None:
        """Which."""
        parser.add_argument("--tenant", help="of one tenant")
        parser.add_argument("--status", choices=State.values, help="in one state")
        parser.add_argument("--model", help="of one model")
        parser.add_argument("--lane", choices=[lane.label for lane in Lane], help="in one lane")
        parser.add_argument("--user", help="of one user")
        parser.add_argument("--error", metavar="CODE", help="that ended with this error")
        parser.add_argument("--most", type=int, default=20, metavar="N", help=f"so many at most, up to {MOST_LISTED}; 20 by default")

    def do_list(self, options: dict[str, Any]) -> None:
        """The newest first."""
        jobs = Job.objects.select_related("tenant").order_by("-submitted_at", "-pk")
        if options["tenant"]:
            jobs = jobs.filter(tenant=named(Tenant, options["tenant"]))
        if options["lane"]:
            jobs = jobs.filter(lane=next(lane for lane in Lane if lane.label == options["lane"]))
        wanted = {"state": options["status"], "model": options["model"], "user": options["user"], "error_code": options["error"]}
        found = list(jobs.filter(**{name: value for name, value in wanted.items() if value})[: max(1, min(options["most"], MOST_LISTED))])
        self.show(options, listed(as_values(job) for job in found) if options["json"] else None, listed_jobs(found))

    # ---- wait

    def add_wait(self, parser: CommandParser) -> None:
        """For which, and how long."""
        _add_id(parser)
        parser.add_argument("--timeout", type=span, default=span("10m"), metavar="TIME", help="90s, 10m, 2h; 10m by default")

    def do_wait(self, options: dict[str, Any]) -> None:
        """Its end."""
        self._wait(options, find_job(options["job"]), options["timeout"].total_seconds())

    def _wait(self, options: dict[str, Any], job: Job, timeout_s: float) -> None:
        """Print the answer. Raises CommandError where there is none."""
        wait_for_end(job.pk, timeout_s)
        job.refresh_from_db()
        if options["json"]:
            self.show(options, as_values(job), "")
        if job.state not in TERMINAL:
            raise CommandError(f"job {job.pk} has not ended after {timeout_s:.0f} s: {whereabouts(job.pk)}; manage.py job wait {job.pk}")
        if job.state != State.SUCCEEDED:
            reason = f": {job.error_code}: {job.error_message}" if job.error_code else ""
            raise CommandError(f"job {job.pk} {job.state}{reason}")
        if not options["json"]:
            self.stdout.write(answer_of(job))
            self.stderr.write(ended_well(job), self.style.HTTP_NOT_MODIFIED)

    # ---- cancel, retry, requeue, lane

    def add_cancel(self, parser: CommandParser) -> None:
        """Which."""
        add_choice(parser)

    def do_cancel(self, options: dict[str, Any]) -> None:
        """Each of them."""
        self._do(Deed.CANCEL, options, cancel)

    def add_retry(self, parser: CommandParser) -> None:
        """Which."""
        add_choice(parser)

    def do_retry(self, options: dict[str, Any]) -> None:
        """Each of them."""
        self._do(Deed.RETRY, options, retry)

    def add_requeue(self, parser: CommandParser) -> None:
        """Which."""
        add_choice(parser)

    def do_requeue(self, options: dict[str, Any]) -> None:
        """Each of them."""
        self._do(Deed.REQUEUE, options, requeue)

    def add_lane(self, parser: CommandParser) -> None:
        """Which, and where to."""
        parser.add_argument("--to", choices=LANES, required=True, help="the lane to which they go")
        add_choice(parser)

    def do_lane(self, options: dict[str, Any]) -> None:
        """Each of them."""
        self._do(Deed.LANE, options, lambda job, *, by: change_lane(job, parse_lane(options["to"]), by=by))

    def _do(self, deed: Deed, options: dict[str, Any], to_one: Callable[..., Job]) -> None:
        """Jobs that are named one by one each get their own answer; what a filter finds is looked at first."""
        jobs = [find_job(text) for text in options["jobs"]]
        if jobs and not options["dry_run"]:
            self._each(options, [to_one(job, by=who()) for job in jobs])
            return
        choice = chosen_by(deed, options, [job.pk for job in jobs])
        if options["dry_run"]:
            self.show(options, render_many(choice, None), preview(choice))
            return
        if not options["json"]:
            self.stdout.write(preview(choice))
        if is_wanted(options, choice):
            done = do(choice, by=who())
            self.show(options, render_many(choice, done), told(choice, done))

    def _each(self, options: dict[str, Any], jobs: list[Job]) -> None:
        lines = (f"job {job.pk} {_became(job)}" for job in jobs)
        self.show(options, listed(as_values(job) for job in jobs), "\n".join(lines))

    # ---- failures

    def add_failures(self, parser: CommandParser) -> None:
        """Whose, and when."""
        parser.add_argument("--tenant", help="of one tenant")
        parser.add_argument("--model", help="in which a job of this model is among the newest")
        parser.add_argument("--since", type=moment, metavar="TIME", help="that ended at this time or later, such as 2030-01-31T12:00:00Z")
        parser.add_argument("--until", type=moment, metavar="TIME", help="that ended before this time")

    def do_failures(self, options: dict[str, Any]) -> None:
        """In groups, the newest first."""
        tenants = [named(Tenant, options["tenant"]).pk] if options["tenant"] else None
        found = failures(tenants, since=options["since"], until=options["until"], model=options["model"] or "")
        self.show(options, listed(map(render_failures, found.groups)) if options["json"] else None, listed_failures(found))


def _add_id(parser: CommandParser) -> None:
    parser.add_argument("job", help="its id")


def _became(job: Job) -> str:
    if job.state == State.RUNNING:
        return "is asked to end" if job.cancel_requested else "is asked to come back" if job.requeue_requested else "is running"
    return f"is {job.state}"
