"""The books: each kind of difference is named with its attempts, its day and a reason; --apply makes ledger and bill one."""

import dataclasses
import datetime as dt
import json
import random
import uuid

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F, Sum

from rateguard.engine.gate.contract import Charge
from rateguard.jobs.books.comparing import compare
from rateguard.jobs.books.formats import openai, reading
from rateguard.jobs.books.formats.values import DayAmount, ReadBill
from rateguard.jobs.books.span import Span
from rateguard.jobs.books.values import Kind
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.upkeep import reconcile as reconciling
from rateguard.jobs.upkeep.bill import Amount, InvalidBill, attempt_id
from tenants.models import EntryKind, LedgerEntry, UsageDay, UsageQuarter
from tests.integration.test_reconcile import CHARGED, assert_everything_says, line_of, ran

ALL = Span()


def found(books, kind):
    return [one for one in books.differences if one.kind == kind]


def only(books, kind):
    (one,) = found(books, kind)
    return one


def behind_the_ledgers_back(statement, *given):
    """The ledger refuses to be changed; a fault does not ask."""
    with connection.cursor() as cursor:
        cursor.execute(statement, given)


# ---- rows, ledger, rollups, gate


def test_books_that_agree_say_so_for_each_deployment_and_day(line):
    ran(line)
    books = compare(ALL)
    (day,) = books.days
    assert books.differences == []
    assert (day.deployment, day.attempts, day.rows, day.ledger, day.booked, day.rollups) == ("sim-1", 1, *[CHARGED] * 4)
    assert books.is_gate_asked


def test_each_difference_between_rows_ledger_rollups_and_gate_is_named(line):
    budget = line.budget(10**12)
    keys = [ran(line) for _ in range(4)]
    uncharged, changed, strange, odd = [attempt_id(key) for key in keys]
    behind_the_ledgers_back("DELETE FROM rateguard_tenants_ledgerentry WHERE reservation_id = %s", in_database(keys[0][0]))
    Attempt.objects.filter(reservation_id=keys[1][0]).update(nano_usd=F("nano_usd") + 7)
    Attempt.objects.filter(reservation_id=keys[2][0]).delete()
    Job.objects.filter(pk=keys[3][0]).update(nano_usd=1)
    UsageQuarter.objects.update(output_tokens=F("output_tokens") + 3)
    UsageDay.objects.filter(value="ada").update(nano_usd=0)
    line.gate.restore((Charge(f"b{budget.pk}", 11, 0),), (), ())

    books = compare(ALL)

    assert only(books, Kind.NOT_CHARGED).attempts == (uncharged,)
    assert (only(books, Kind.ATTEMPT_DIFFERS).attempts, only(books, Kind.ATTEMPT_DIFFERS).amount) == ((changed,), Amount(0, 0, 7))
    assert only(books, Kind.NO_ATTEMPT).attempts == (strange,)
    assert str(keys[3][0]) in {name for one in found(books, Kind.JOB_DIFFERS) for name in one.attempts}
    assert only(books, Kind.ROLLUP_DIFFERS).amount == CHARGED + Amount(0, 3, 0)  # the deleted entry, and three tokens
    assert {one.where.split()[-1] for one in found(books, Kind.DAY_ROLLUP_DIFFERS)} == {"ada", "feature=chat"}
    assert only(books, Kind.GATE_DIFFERS).amount.nano_usd == CHARGED.nano_usd + 11
    assert f"budget {budget.pk}" in only(books, Kind.GATE_DIFFERS).where
    assert all(one.cause for one in books.differences)
    assert odd not in {name for one in books.differences for name in one.attempts}


def test_apply_puts_rollups_right_and_a_second_run_finds_nothing(line):
    ran(line)
    UsageQuarter.objects.update(nano_usd=1, cached_tokens=5)
    UsageDay.objects.filter(value="ada").delete()
    assert {one.is_corrected for one in compare(ALL, apply=True).differences} == {True}
    assert_everything_says(CHARGED)
    assert UsageQuarter.objects.get().cached_tokens == 0
    assert compare(ALL).differences == []


def in_database(value: uuid.UUID):
    return value if connection.vendor == "postgresql" else value.hex


# ---- a bill by attempts


def test_what_a_bill_says_differently_is_named_with_what_it_probably_is(line):
    dead, price, missing, tokens = ran(line, is_estimated=True), ran(line), ran(line), ran(line)
    Attempt.objects.filter(reservation_id=dead[0]).update(state="abandoned")
    running = line.run()
    open_one = (running.job, running.attempt)
    stranger = (uuid.uuid4(), 1)
    bill = {
        dead: Amount(9, 1, 4_000),
        price: dataclasses.replace(CHARGED, nano_usd=6_000),
        tokens: Amount(9, 12, 5_600),
        stranger: Amount(1, 1, 1),
        open_one: Amount(2, 2, 2),
    }

    books = compare(ALL, ReadBill(attempts=bill), complete=reconciling.Coverage("sim"))

    causes = {one.attempts: one.cause for one in found(books, Kind.BILL_DIFFERS)}
    assert "worker died" in causes[attempt_id(dead),]
    assert "price" in causes[attempt_id(price),]
    assert "other tokens" in causes[attempt_id(tokens),]
    assert only(books, Kind.NOT_BILLED).attempts == (attempt_id(missing),)
    assert (only(books, Kind.NEVER_OURS).attempts, only(books, Kind.NEVER_OURS).amount) == ((attempt_id(stranger),), Amount(1, 1, 1))
    assert "runs" in only(books, Kind.NOT_ENDED).cause
    assert books.days[0].bill == sum([bill[key] for key in (dead, price, tokens, open_one)], Amount())
    assert not any(one.is_corrected for one in books.differences)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_bill_says_after_apply_the_ledger_says_it_too_and_the_rollups_the_same(line, seed, monkeypatch):
    chance = random.Random(seed)
    keys = [ran(line, is_estimated=chance.random() < 0.5) for _ in range(12)]
    billed = [key for key in keys if chance.random() < 0.9]
    bill = {key: Amount(chance.randint(0, 30), chance.randint(0, 30), chance.choice([0, 5_000, 9_999])) for key in billed}
    monkeypatch.setattr(reconciling, "BATCH", 3)
    written, write = [], reconciling.write

    def killed_later(one_batch, charges):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(one_batch)
        write(one_batch, charges)

    monkeypatch.setattr(reconciling, "write", killed_later)
    with pytest.raises(KeyboardInterrupt):
        compare(ALL, ReadBill(attempts=bill), apply=True)
    guesses = [any(one.was_estimated for one in batch) for batch in written]
    assert guesses == sorted(guesses, reverse=True)
    monkeypatch.setattr(reconciling, "write", write)
    compare(ALL, ReadBill(attempts=bill), apply=True)

    sums = LedgerEntry.objects.values("reservation_id").annotate(i=Sum("input_tokens"), o=Sum("output_tokens"), n=Sum("nano_usd"))
    ledger = {row["reservation_id"]: Amount(row["i"], row["o"], row["n"]) for row in sums}
    assert ledger == {key[0]: bill.get(key, CHARGED) for key in keys}
    assert_everything_says(sum(ledger.values(), Amount()))
    corrections = LedgerEntry.objects.filter(kind=EntryKind.CORRECTION).count()
    assert compare(ALL, ReadBill(attempts=bill), apply=True).differences == []
    assert LedgerEntry.objects.filter(kind=EntryKind.CORRECTION).count() == corrections


# ---- bills by days


def test_a_bill_by_days_is_compared_by_model_and_day_and_corrects_nothing(line):
    ran(line)
    today = dt.datetime.now(dt.UTC).date()
    other = today - dt.timedelta(days=1)
    days = {
        (today, "sim-1"): DayAmount(9, 11, 6_000, requests=1),
        (other, "sim-1"): DayAmount(9, 11, requests=1),
        (today, "somebody-elses"): DayAmount(1, 1),
    }

    books = compare(ALL, ReadBill(days=days), apply=True)

    by_place = {(one.day, one.where): one for one in found(books, Kind.BILL_DAY_DIFFERS)}
    assert (by_place[today, "sim-1"].amount, "price" in by_place[today, "sim-1"].cause) == (Amount(0, 0, 1_000), True)
    assert "more calls" in by_place[other, "sim-1"].cause
    assert by_place[today, "somebody-elses"].deployment == ""
    assert_everything_says(CHARGED)
    assert compare(ALL, ReadBill(days={(today, "sim-1-2026-03-05"): DayAmount(9, 11, 5_000)})).differences == []


def test_a_bill_that_counts_parts_of_the_tokens_otherwise_says_which(line):
    ran(line)
    today = dt.datetime.now(dt.UTC).date()
    Attempt.objects.update(tier="batch", cached_tokens=0)
    told = [
        DayAmount(9, 11, 6_000, requests=1, cached_tokens=4, audio_input_tokens=0, batch_tokens=20),
        DayAmount(9, 11, requests=1, batch_tokens=0, audio_output_tokens=7),
        DayAmount(9, 11, 5_000, requests=1, cached_tokens=0, batch_tokens=20),
    ]
    causes = [
        [one.cause for one in found(compare(ALL, ReadBill(days={(today, "sim-1"): amount})), Kind.BILL_DAY_DIFFERS)] for amount in told
    ]
    start = "the provider counts parts of the tokens otherwise, which have prices of their own: "
    assert causes == [
        [f"{start}4 tokens read from the cache against 0"],
        [f"{start}7 tokens of sound in the output against 0, 0 tokens through batches against 20"],
        [],
    ]


def test_parts_and_batches_are_read_from_openais_report():
    told = {"model": "gpt-5.4", "input_tokens": 10, "output_tokens": 4, "input_audio_tokens": 2, "output_audio_tokens": 1}
    page = {"data": [{"start_time": 1893456000, "results": [{**told, "batch": True}, {**told, "batch": False}, told]}]}
    (day,) = openai.read_json(json.dumps(page).encode()).days.values()
    parts = (day.audio_input_tokens, day.audio_output_tokens, day.batch_tokens, day.cached_tokens)
    assert parts == (6, 3, 14, None)


USAGE = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1893456000,
            "results": [{"model": "gpt-5.4", "input_tokens": 10, "output_tokens": 4, "num_model_requests": 2, "input_cached_tokens": 3}]
            * 2,
        }
    ],
}
COSTS = {
    "object": "page",
    "data": [
        {
            "start_time": 1893456000,
            "results": [
                {"amount": {"value": "0.06", "currency": "usd"}, "line_item": "gpt-5.4, input"},
                {"amount": {"value": 0.000000001, "currency": "usd"}, "line_item": "gpt-5.4, output"},
            ],
        }
    ],
}
DAY = (dt.date(2030, 1, 1), "gpt-5.4")
KEY = (uuid.UUID("01a1fe30-cacb-70f1-99d7-3d90087facc0"), 2)
USAGE_CSV = "start_time,end_time,model,num_model_requests,input_tokens,output_tokens\n1893456000,1893542400,gpt-5.4,4,20,8\n"
COSTS_CSV = '\ufeff"start_time","amount_value","amount_currency","line_item"\n1893456000,0.060000001,usd,"gpt-5.4, input"\n'
ARRIVAL = {
    "kind": "arrival",
    "request_id": "r",
    "attempt_id": attempt_id(KEY),
    "key": "k",
    "model": "m",
    "monotonic_s": 1.0,
    "arrived_ms": 1,
}
BILLED = {
    "kind": "bill",
    "request_id": "r",
    "attempt_id": attempt_id(KEY),
    "key": "k",
    "model": "m",
    "input_tokens": 10,
    "output_tokens": 8,
}
SIM = "".join(
    json.dumps(told) + "\n"
    for told in (
        {**ARRIVAL, "monotonic_s": 1.0, "counted_tokens": 1, "status": 200, "is_accepted": True, "fault": ""},
        {**BILLED, "output_tokens": 8, "nano_usd": 4_200, "arrived_at_ms": 1},
    )
)


@pytest.mark.parametrize(
    ("text", "columns", "attempts", "days"),
    [
        (line_of(KEY) + "\n" + line_of(KEY), None, {KEY: Amount(20, 16, 8_400)}, {}),
        (SIM, None, {KEY: Amount(10, 8, 4_200)}, {}),
        (json.dumps(USAGE, indent=1), None, None, {DAY: DayAmount(20, 8, None, 4, 6)}),
        (json.dumps([COSTS, USAGE]), None, None, {DAY: DayAmount(20, 8, 60_000_001, 4, 6)}),
        (USAGE_CSV, None, None, {DAY: DayAmount(20, 8, None, 4)}),
        (COSTS_CSV, None, None, {DAY: DayAmount(nano_usd=60_000_001)}),
        (
            "when,sku,cost\n2030-01-01,gpt-5.4,$0.06\n",
            {"day": "when", "model": "sku", "usd": "cost"},
            None,
            {DAY: DayAmount(nano_usd=60_000_000)},
        ),
        (
            f"id,in,out,cost\n{attempt_id(KEY)},1,2,3\n",
            {"attempt_id": "id", "input_tokens": "in", "output_tokens": "out", "cents": "cost"},
            {KEY: Amount(1, 2, 30_000_000)},
            {},
        ),
    ],
)
def test_a_bill_is_read_in_the_format_that_it_shows(tmp_path, text, columns, attempts, days):
    path = tmp_path / "bill"
    path.write_text(text)
    bill = reading.read(path, columns=columns)
    assert (bill.attempts, bill.days) == (attempts, days)


@pytest.mark.parametrize(
    ("text", "format", "columns", "says"),
    [
        ("{", "attempts", None, "line 1"),
        ('{"data": [{}]}', "openai", None, "bucket 1"),
        ('{"data": [{"start_time": "x", "results": [{}]}]}', "openai", None, "no day"),
        ('{"data": [{"start_time": 1, "results": [{"amount": {"value": 1, "currency": "eur"}}]}]}', "openai", None, "eur"),
        ("a,b\n", "openai-csv", None, "columns"),
        ("day\n2030-01-01\n", "csv", {"day": "day", "usd": "cost"}, "no column cost"),
        ("day,cost\n2030-01-01,much\n", "csv", {"day": "day", "usd": "cost"}, "line 2"),
        ('{"kind": "other", "request_id": "x"}\n', "sim", None, "line 1"),
        ("\xff", "openai-csv", None, "UTF-8"),
    ],
)
def test_a_bill_that_cannot_be_read_says_where(tmp_path, text, format, columns, says):  # noqa: A002 - what the option is called
    path = tmp_path / "bill"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidBill, match=says):
        reading.read(path, format, columns)


# ---- the command


def test_the_command_tells_the_same_in_words_and_as_json(line, capsys):
    key = ran(line)
    Attempt.objects.update(nano_usd=F("nano_usd") + 7)
    call_command("reconcile")
    words = capsys.readouterr().out
    assert "sim-1" in words
    assert attempt_id(key) in words
    assert "changed by hand" in words
    call_command("reconcile", "--json", "--since", "2020-01-01", "--until", "2090-01-01")
    told = json.loads(capsys.readouterr().out)
    assert (told["applied"], told["gate_compared"], told["days"][0]["deployment"]) == (False, True, "sim-1")
    assert [(one["kind"], one["nano_usd"], one["attempts"]) for one in told["differences"]] == [("attempt_differs", 7, [attempt_id(key)])]
