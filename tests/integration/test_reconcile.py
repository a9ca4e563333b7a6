"""Reconcile: the ledger comes to say what the provider's bill says, once, and everything that is summed from it follows."""

import datetime as dt
import json
import threading
import uuid

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.controls.runs import start_run
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import SUCCEED, AttemptState
from rateguard.jobs.upkeep import rebuild, recover
from rateguard.jobs.upkeep.bill import Amount, InvalidBill, attempt_id, read_bill
from rateguard.jobs.upkeep.reconcile import Coverage, reconcile
from tenants.models import Budget, EntryKind, LedgerEntry, LedgerUnchangeable, Scope, UsageDay, UsageQuarter
from tests.line import events_of

CHARGED = Amount(9, 11, 5_000)
BILLED = Amount(10, 8, 4_200)
OVER_DIFFERENCE = Amount(1, -3, -800)
WHOLE = Coverage("sim")


def ran(line, *, is_estimated=False, **fields):
    """An attempt that ended at CHARGED. Returns its key."""
    claimed = line.run(user="ada", team="support", labels={"feature": "chat"}, **fields)
    usage = Usage(input_tokens=CHARGED.input_tokens, output_tokens=CHARGED.output_tokens, estimated=is_estimated)
    end = Ended(
        job=claimed.job,
        attempt=claimed.attempt,
        state=AttemptState.SUCCEEDED,
        transition=SUCCEED,
        usage=usage,
        nano_usd=CHARGED.nano_usd,
    )
    settle([end])
    line.end_in_gate(claimed, CHARGED.nano_usd)
    return claimed.job, claimed.attempt


def sums(rows, *names):
    """(input, output, money) of all rows."""
    found = rows.aggregate(*(Sum(name) for name in names))
    return Amount(*(found[f"{name}__sum"] or 0 for name in names))


def booked():
    return sums(LedgerEntry.objects, "input_tokens", "output_tokens", "nano_usd")


def assert_everything_says(amount):
    assert booked() == amount
    assert sums(Job.objects, "used_input_tokens", "used_output_tokens", "nano_usd") == amount
    assert sums(UsageQuarter.objects, "input_tokens", "output_tokens", "nano_usd") == amount
    for value in ("ada", "feature=chat"):
        assert sums(UsageDay.objects.filter(value=value), "input_tokens", "output_tokens", "nano_usd") == amount


# ---- correcting


def test_a_difference_becomes_a_correction_in_ledger_job_rollups_and_events(line):
    key = ran(line)

    report = reconcile({key: BILLED}, apply=True)

    assert report.difference == OVER_DIFFERENCE
    assert_everything_says(BILLED)
    assert events_of(key[0])[-1] == "corrected"
    entry = LedgerEntry.objects.get(kind=EntryKind.CORRECTION)
    assert (entry.reservation_id, entry.attempt, entry.team, entry.deployment) == (*key, "support", "sim-1")
    assert Attempt.objects.get().nano_usd == CHARGED.nano_usd
    assert UsageQuarter.objects.aggregate(Sum("jobs"))["jobs__sum"] == 1


def test_without_apply_nothing_changes(line):
    key = ran(line)

    report = reconcile({key: BILLED})

    assert [one.key for one in report.corrections] == [key]
    assert_everything_says(CHARGED)


def test_a_second_run_finds_nothing_to_correct(line):
    bill = {ran(line): BILLED, ran(line): CHARGED}

    first, second = reconcile(bill, apply=True), reconcile(bill, apply=True)

    assert (first.agreed, len(first.corrections)) == (1, 1)
    assert (second.agreed, len(second.corrections)) == (2, 0)


def test_a_bill_that_changed_its_mind_is_followed(line):
    key = ran(line)
    reconcile({key: BILLED}, apply=True)

    reconcile({key: CHARGED}, apply=True)

    assert_everything_says(CHARGED)


def test_racers_correct_an_attempt_once(line):
    bill = {ran(line): BILLED for _ in range(3)}
    start = threading.Barrier(4)

    def race():
        start.wait()
        reconcile(bill, apply=True)
        connection.close()

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert LedgerEntry.objects.filter(kind=EntryKind.CORRECTION).count() == 3
    assert_everything_says(sum([BILLED] * 3, Amount()))


def test_a_correction_is_an_entry_that_nobody_changes(line):
    reconcile({ran(line): BILLED}, apply=True)

    with pytest.raises(LedgerUnchangeable):
        LedgerEntry.objects.filter(kind=EntryKind.CORRECTION).delete()


def test_a_bill_above_the_most_that_was_reserved_is_marked_overrun(line):
    dear, cheap = ran(line), ran(line)
    most = Attempt.objects.get(reservation_id=dear[0]).reserved_nano_usd

    reconcile({dear: Amount(9, 11, most + 1), cheap: Amount(9, 11, most)}, apply=True)

    overruns = LedgerEntry.objects.filter(kind=EntryKind.CORRECTION).values_list("reservation_id", "is_overrun")
    assert dict(overruns) == {dear[0]: True, cheap[0]: False}


def test_the_budget_in_the_gate_follows(line):
    budget = line.budget(10**9)
    key = ran(line)
    assert line.used(budget).used == CHARGED.nano_usd

    reconcile({key: BILLED}, apply=True)
    assert line.used(budget).used == BILLED.nano_usd

    line.gate.clear()
    rebuild.rebuild(line.gate)
    assert line.used(budget).used == BILLED.nano_usd


def test_every_budget_on_the_path_follows_in_its_own_unit(line):
    nodes = (("user", "ada"), ("team", "support"), ("role", "*"))
    user, team, every = (Scope.objects.create(kind=kind, tenant=line.acme, name=name) for kind, name in nodes)
    mine = Budget.objects.create(scope=user, amount=10**9)
    tokens = Budget.objects.create(scope=team, amount=10**9, unit="tokens", period="month")
    default = Budget.objects.create(scope=every, amount=10**9)
    outer = start_run(line.acme, budget_nano_usd=10**9, max_calls=10)
    inner = start_run(line.acme, parent=outer.pk)
    key = ran(line, role="lead", run=inner.pk)
    ids = (f"b{mine.pk}", f"b{tokens.pk}", f"b{default.pk}@role:lead", f"rb{outer.pk.hex}", f"rc{outer.pk.hex}")

    def used():
        found = {use.id: use.used for use in line.gate.inspect(ids).limits}
        return [found[one] for one in ids]

    before = used()
    reconcile({key: BILLED}, apply=True)
    difference = OVER_DIFFERENCE.nano_usd
    tokens_less = OVER_DIFFERENCE.input_tokens + OVER_DIFFERENCE.output_tokens
    assert [now - then for now, then in zip(used(), before, strict=True)] == [difference, tokens_less, difference, difference, 0]
    assert LedgerEntry.objects.get(kind=EntryKind.CORRECTION).run == inner.pk


def test_a_gate_that_is_empty_does_not_hold_up_the_books(line):
    key = ran(line)
    line.gate.clear()

    reconcile({key: BILLED}, apply=True)

    assert_everything_says(BILLED)


# ---- what the bill does not tell, or tells late


def test_an_attempt_that_is_still_open_is_named_and_corrected_by_a_later_run(line):
    claimed = line.run(user="ada", labels={"feature": "chat"})
    key = (claimed.job, claimed.attempt)

    early = reconcile({key: BILLED}, apply=True)
    assert early.still_open == [attempt_id(key)]
    assert not LedgerEntry.objects.exists()

    recover.abandon(process_pump(), list(Attempt.objects.all()), recover.Counts())
    late = reconcile({key: BILLED}, apply=True)
    assert late.estimated_corrected == 1
    assert_everything_says(BILLED)


def test_a_billed_attempt_that_was_never_ours_is_named(line):
    stranger = (uuid.uuid4(), 1)

    report = reconcile({ran(line): CHARGED, stranger: BILLED}, apply=True)

    assert report.unknown == [attempt_id(stranger)]
    assert_everything_says(CHARGED)


def test_an_estimate_that_the_bill_does_not_hold_stands_until_the_bill_is_complete(line):
    ran(line, is_estimated=True)

    assert reconcile({}, apply=True).corrections == []
    assert_everything_says(CHARGED)
    assert reconcile({}, apply=True, complete=WHOLE).estimated_corrected == 1
    assert_everything_says(Amount())
    assert reconcile({}, apply=True, complete=WHOLE).corrections == []


def test_a_line_that_comes_after_the_bill_was_called_complete_still_counts(line):
    key = ran(line, is_estimated=True)
    reconcile({}, apply=True, complete=WHOLE)

    reconcile({key: BILLED}, apply=True)

    assert_everything_says(BILLED)


def test_a_complete_bill_takes_back_no_charge_that_the_provider_itself_reported(line):
    key = ran(line)

    report = reconcile({}, apply=True, complete=WHOLE)

    assert report.unbilled == [attempt_id(key)]
    assert_everything_says(CHARGED)


@pytest.mark.parametrize(
    "coverage",
    [
        Coverage("another"),
        Coverage("sim", until=timezone.now() - dt.timedelta(days=1)),
        Coverage("sim", since=timezone.now() + dt.timedelta(days=1)),
    ],
)
def test_a_complete_bill_says_nothing_of_another_account_or_time(line, coverage):
    ran(line, is_estimated=True)

    assert reconcile({}, apply=True, complete=coverage).corrections == []


# ---- the bill as a file, and the command


def line_of(key, amount=BILLED, **fields):
    told = {"attempt_id": attempt_id(key), "input_tokens": amount.input_tokens, "output_tokens": amount.output_tokens}
    return json.dumps({**told, "nano_usd": amount.nano_usd, "status": 200, **fields})


KEY = (uuid.UUID("01a1fe30-cacb-70f1-99d7-3d90087facc0"), 2)


def test_lines_of_one_attempt_add_up_and_blank_ones_do_not_count():
    assert read_bill([line_of(KEY), "", "\n", line_of(KEY)]) == {KEY: BILLED + BILLED}


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "[]",
        "7",
        "{}",
        line_of(KEY, nano_usd=1.5),
        line_of(KEY, nano_usd=True),
        line_of(KEY, output_tokens=-1),
        line_of(KEY, input_tokens=None),
        line_of(KEY, attempt_id="01a1fe30-cacb-70f1-99d7-3d90087facc0"),
        line_of(KEY, attempt_id="x.1"),
        line_of(KEY, attempt_id=None),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_nothing_is_taken_from_the_bill(broken):
    with pytest.raises(InvalidBill, match="line 2"):
        read_bill([line_of(KEY), broken])


@pytest.fixture
def bill_file(tmp_path):
    def write(*lines):
        path = tmp_path / "bill.jsonl"
        path.write_text("\n".join(lines))
        return str(path)

    return write


def test_the_command_changes_nothing_unless_told_to(line, bill_file, capsys):
    path = bill_file(line_of(ran(line)))

    call_command("reconcile", path)
    assert "nothing was changed" in capsys.readouterr().out
    assert_everything_says(CHARGED)

    call_command("reconcile", path, "--apply")
    assert "acme" in capsys.readouterr().out
    assert_everything_says(BILLED)


def test_the_command_takes_back_estimates_of_a_complete_bill(line, bill_file, capsys):
    ran(line, is_estimated=True)

    call_command("reconcile", bill_file(), "--apply", "--complete", "sim", "--since", "2020-01-01T00:00:00Z")

    assert "1 corrected, 1 of them estimated" in capsys.readouterr().out
    assert_everything_says(Amount())


@pytest.mark.parametrize(
    "options",
    [
        ["--complete", "nobody"],
        ["--since", "2030-13-01"],
        ["--complete", "sim", "--until", "now"],
        ["--columns", "day=a"],
        ["--format", "csv"],
    ],
)
def test_the_command_refuses_what_it_does_not_understand(line, bill_file, options):
    with pytest.raises(CommandError):
        call_command("reconcile", bill_file(), *options)


def test_the_command_names_a_bill_that_is_not_there(line, tmp_path):
    with pytest.raises(CommandError, match="absent"):
        call_command("reconcile", str(tmp_path / "absent.jsonl"))
