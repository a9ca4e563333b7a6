"""Many jobs from the shell: chosen by ids or by a filter, looked at first, done after a yes."""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.clock import database_now
from rateguard.jobs.insight.search import Search, label_pair
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from rateguard.jobs.steering.many import Done
from rateguard.jobs.steering.wishes import AT_ONCE, WHY_NOT, Choice, Deed, Wish, choose
from rateguard.management.finding import named
from rateguard.management.shell import moment
from tenants.models import Tenant

LANES = [lane.label for lane in Lane]
_FILTERS = ("tenant", "status", "model", "lane", "user", "team", "error", "fingerprint", "run", "label", "since", "until")
_PAST = {Deed.CANCEL: "cancelled", Deed.RETRY: "retried", Deed.REQUEUE: "put back in line", Deed.LANE: "moved"}


def add_choice(parser: CommandParser) -> None:
    """Ids, or a filter; whether only to look; whether to ask."""
    parser.add_argument("jobs", nargs="*", metavar="job", help="its id; several may follow. Or say which by a filter:")
    parser.add_argument("--tenant", help="those of one tenant")
    parser.add_argument("--status", choices=State.values, help="in one state")
    parser.add_argument("--model", help="of one model")
    parser.add_argument("--lane", choices=LANES, help="in one lane")
    parser.add_argument("--user", help="of one user")
    parser.add_argument("--team", help="of one team")
    parser.add_argument("--error", metavar="CODE", help="that ended with this error")
    parser.add_argument("--fingerprint", help="that failed alike: manage.py job failures")
    parser.add_argument("--run", type=uuid.UUID, metavar="ID", help="of one run")
    parser.add_argument("--label", action="append", metavar="KEY=VALUE", help="with this label; several may be named")
    parser.add_argument("--since", type=moment, metavar="TIME", help="submitted at this time or later, such as 2030-01-31T12:00:00Z")
    parser.add_argument("--until", type=moment, metavar="TIME", help="submitted before this time")
    parser.add_argument("--dry-run", action="store_true", help="say what it would do, and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask first")


def chosen_by(deed: Deed, options: dict[str, Any], ids: list[uuid.UUID]) -> Choice:
    """What a deed meets of what was named. Raises CommandError where nothing was."""
    given = [name for name in _FILTERS if options.get(name)]
    if bool(ids) == bool(given):
        raise CommandError("name jobs by their ids, or say which by a filter such as --status failed; one of the two")
    rows: QuerySet[Job] = Job.objects.filter(pk__in=ids) if ids else _search(options).matching(Job.objects.all())
    lane = parse_lane(options["to"]) if deed == Deed.LANE else Lane.NORMAL
    return choose(rows, Wish(deed, database_now(), lane))


def _search(options: dict[str, Any]) -> Search:
    pairs = [label_pair(text) for text in options["label"] or ()]
    if not all(pairs):
        raise CommandError("write a label as key=value, such as --label feature=search")
    names: dict[str, Any] = {name: options[name] or "" for name in ("model", "user", "team", "error", "fingerprint")}
    return Search(
        tenant=named(Tenant, options["tenant"]).pk if options["tenant"] else None,
        states=frozenset({options["status"]} if options["status"] else ()),
        lanes=frozenset({parse_lane(options["lane"])} if options["lane"] else ()),
        run=options["run"],
        labels=tuple(pair for pair in pairs if pair),
        since=options["since"],
        until=options["until"],
        **names,
    )


def preview(choice: Choice) -> str:
    """What would be done, in lines."""
    lines = [f"{_jobs(len(choice.ids))} can be {_PAST[choice.wish.deed]}{_of(choice.states)}"]
    if choice.ids:
        lines.append(f"  models: {_listed(choice.models)}")
    if choice.fingerprints:
        lines.append(f"  fingerprints: {_listed(choice.fingerprints)}")
    lines += [f"  left out: {number:,} {WHY_NOT[reason]}" for reason, number in choice.others.most_common()]
    if choice.left:
        lines.append(f"  one go takes {AT_ONCE:,}, the newest; {choice.left:,} remain for further ones")
    return "\n".join(lines)


def told(choice: Choice, done: Done) -> str:
    """What became of them, in lines."""
    lines = [f"{_jobs(done.moved)} {_PAST[choice.wish.deed]}"]
    if done.asked:
        what = "to end" if choice.wish.deed == Deed.CANCEL else "to come back"
        lines.append(f"{_jobs(done.asked)} that run asked {what}, within a second or so")
    lines += [f"{_jobs(done.refused.jobs[code])} refused: {refusal}" for code, refusal in done.refused.first.items()]
    if done.meanwhile:
        lines.append(f"{_jobs(done.meanwhile)} had moved on meanwhile")
    if left := choice.left + done.not_reached:
        lines.append(f"{_jobs(left)} left: type the same again")
    return "\n".join(lines)


def is_wanted(options: dict[str, Any], choice: Choice) -> bool:
    """Whether whoever sits there says yes. Raises CommandError where nobody does, and --yes was not said."""
    if options["yes"] or not choice.ids:
        return True
    if not sys.stdin.isatty():
        raise CommandError("nobody is there to be asked: say --yes, or look first with --dry-run")
    return input("Do it? [y/N] ").strip().lower() in {"y", "yes"}


def _jobs(number: int) -> str:
    return f"{number:,} job{'' if number == 1 else 's'}"


def _of(states: Counter[str]) -> str:
    return f" ({_listed(states)})" if states else ""


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.most_common())
