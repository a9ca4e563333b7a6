"""What a proof concludes from the provider's log, and from its lines."""

import contextlib
import json
import shutil
import subprocess
import sys
import uuid

import pytest
from django.core.management import CommandError, call_command
from django.utils.module_loading import import_string

from rateguard.embedded.surroundings import PROJECT
from rateguard.engine.breaker.rule import BreakerRule
from rateguard.engine.providers.sim.journal import Arrival
from rateguard.management.commands import prove as command
from rateguard.proofs import gate
from rateguard.proofs.findings import Line, Part, Report, at_least, at_most, exactly, told
from rateguard.proofs.fleet import AHEAD_VARIABLE, OFF_CLOCK
from rateguard.proofs.gate import PARTS
from rateguard.proofs.measures import fulfilled_ms, furthest_share, lost_s, most_within, token_shares

RULE = BreakerRule(failures=5, failure_permille=500, window_ms=30_000)


def arrival(at_ms, status=200, tokens=10, job=None):
    return Arrival(f"{job or uuid.uuid4()}.1", "sk", "m", at_ms, tokens, status, status == 200)


def failing(*at_ms):
    return [arrival(at, 500) for at in at_ms]


def test_shares_count_accepted_tokens_until_the_end():
    mine, theirs = uuid.uuid4(), uuid.uuid4()
    log = [
        arrival(1, tokens=30, job=mine),
        arrival(2, tokens=10, job=theirs),
        arrival(3, 429, tokens=50, job=theirs),
        arrival(9, tokens=50, job=theirs),
    ]
    assert token_shares(log, {mine: "mine", theirs: "theirs"}, 8) == {"mine": 0.75, "theirs": 0.25}


def test_a_tenant_that_got_nothing_is_as_far_as_can_be():
    assert furthest_share({"a": 1.0}, {"a": 3, "b": 1}) == 1.0


def test_what_is_lost_is_told_in_seconds_of_the_rate_before():
    every_100_ms = [100.0 * number for number in range(1, 101)]
    assert lost_s(every_100_ms, 5_000, 10_000, 0) == pytest.approx(0)
    after_a_gap = [at for at in every_100_ms if not 5_000 < at <= 7_500]
    assert lost_s(after_a_gap, 5_000, 10_000, 0) == pytest.approx(2.5)


def test_a_rule_is_fulfilled_by_the_last_failure_that_it_needs():
    assert fulfilled_ms(failing(1, 2, 3, 4), RULE, 20) is None
    assert fulfilled_ms(failing(1, 2, 3, 4, 5, 6), RULE, 20) == 5


def test_calls_that_succeeded_before_must_be_outnumbered():
    fine = [arrival(number) for number in range(7)]
    assert fulfilled_ms([*fine, *failing(*range(100, 106))], RULE, 20) is None
    assert fulfilled_ms([*fine, *failing(*range(100, 108))], RULE, 20) == 106


def test_a_call_counts_when_it_ended():
    late = [arrival(98) for _ in range(6)]
    assert fulfilled_ms([*late, *failing(*range(100, 105))], RULE, 20) == 104
    assert fulfilled_ms([*late, *failing(*range(120, 126))], RULE, 20) == 125


def test_calls_older_than_the_window_count_no_more():
    fine = [arrival(number) for number in range(20)]
    assert fulfilled_ms([*fine, *failing(*range(31_000, 31_005))], RULE, 20) == 31_004


def test_a_success_fulfils_no_rule():
    fine = [arrival(number) for number in range(10)]
    assert fulfilled_ms([*fine, *failing(*range(100, 106)), arrival(30_050)], RULE, 20) is None


def test_the_most_at_a_time_is_counted_from_any_moment():
    assert most_within([], 10) == 0
    assert most_within([0, 9, 10, 11, 30], 10) == 3
    assert most_within([0, 10], 10) == 1


def test_a_line_says_whether_its_aim_is_met():
    assert [at_most("x", 1.0, 1.0).is_met, at_most("x", 1.001, 1.0).is_met] == [True, False]
    assert [at_least("x", 95.0, 95.0).is_met, at_least("x", 94.99, 95.0).is_met] == [True, False]
    assert [exactly("x", 1, 1).is_met, exactly("x", 2, 1).is_met] == [True, False]


@pytest.mark.parametrize(
    ("parts", "is_met"),
    [
        ([], False),
        ([Part("a", "", [], 1)], False),
        ([Part("a", "", [told("x", "1"), exactly("y", 1, 1)], 1)], True),
        ([Part("a", "", [exactly("y", 1, 1)], 1), Part("b", "", [Line("z", "0", "1", is_met=False)], 1)], False),
    ],
)
def test_a_proof_holds_when_something_was_seen_and_every_line_is_met(parts, is_met):
    report = Report("gate", parts)
    assert report.is_met == json.loads(report.as_json())["is_met"] == is_met


@pytest.mark.parametrize("is_met", [True, False])
def test_the_command_ends_with_1_where_a_line_is_not_met(is_met, monkeypatch, capsys):
    report = Report("gate", [Part("a", "", [Line("x", "1", "2", is_met=is_met)], 1.0)])
    monkeypatch.setattr(command, "import_string", lambda _: lambda **_: report)
    with contextlib.nullcontext() if is_met else pytest.raises(SystemExit, match="1"):
        call_command("prove", "gate", "--json")
    shown, line = capsys.readouterr().out.rsplit("\n", 2)[:2]
    assert f"{int(is_met)} of 1 lines met" in shown
    assert json.loads(line)["is_met"] == is_met


def test_too_short_a_run_is_refused():
    with pytest.raises(CommandError, match="at least 30"):
        call_command("prove", "gate", "--seconds", "5")


def test_every_part_is_a_function_of_the_package():
    for plan in PARTS.values():
        assert callable(import_string(f"rateguard.proofs.{plan.function}"))


def test_a_part_that_breaks_is_not_met(monkeypatch):
    monkeypatch.setattr(gate.sys, "executable", shutil.which("false"))
    part = gate.prove("high")
    assert not part.is_met
    assert "exit code 1" in part.lines[0].seen


def test_a_clock_that_is_off_is_off_for_everything_in_python_but_not_for_durations():
    ask = (
        "import datetime as dt, json, time; from django.utils import timezone; local = dt.datetime.now();"
        "print(json.dumps([time.time(), time.time_ns() / 1e9, dt.datetime.now(dt.UTC).timestamp(), local.timestamp(),"
        " timezone.now().timestamp(), dt.datetime.today().timestamp(), time.mktime(time.localtime()),"
        " time.monotonic(), dt.datetime.fromtimestamp(0, dt.UTC).timestamp()]))"
    )

    def clocks(**variables):
        environment = {"PYTHONPATH": f"{OFF_CLOCK}:{PROJECT}", "DJANGO_SETTINGS_MODULE": "rateguard.settings", **variables}
        done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, check=True)
        return json.loads(done.stdout)

    *wall, monotonic, first_day = (
        moved - true for moved, true in zip(clocks(**{AHEAD_VARIABLE: "300"}), clocks(**{AHEAD_VARIABLE: "0"}), strict=True)
    )
    assert all(290 < ahead < 305 for ahead in wall)
    assert abs(monotonic) < 10
    assert first_day == 0
