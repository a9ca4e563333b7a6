"""The demo's live view: it fits the terminal, and says what was seen."""

import io

import pytest
from rich.console import Console

from rateguard.demo.observe import Row, Snapshot, Use, summed
from rateguard.demo.view import Frame, bar, render
from rateguard.demo.workload import TENANTS
from rateguard.embedded.news import News, told_by
from rateguard.engine.lanes import Lane

ROWS = [Row(tenant, lane, "succeeded", 1_000_000, 200_000, 123_456_789, 12_345, 45_678) for tenant in TENANTS for lane in Lane]
USES = (Use("sim: tokens in 10 s", 279_999, 280_000), Use("sim: requests in 10 s", 200, 1_000), Use("aurora", 5, 10, is_money=True))


def snapshot(rows=ROWS, uses=USES):
    return Snapshot(
        total=summed(rows),
        tenants={name: summed(row for row in rows if row.tenant == name) for name in TENANTS},
        lanes={lane: summed(row for row in rows if row.lane == lane) for lane in Lane},
        cells={(name, lane): summed(row for row in rows if (row.tenant, row.lane) == (name, lane)) for name in TENANTS for lane in Lane},
        uses=uses,
    )


def lines(seen, width, height, news=None, *, is_final=False):
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    frame = Frame(seen, "working", 12.0, dict.fromkeys(TENANTS, 1))
    console.print(render(frame, news or News(0.0), console.size, is_final=is_final))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (200, 60)])
def test_a_frame_fills_the_terminal_and_cuts_no_line(width, height):
    news = News(0.0)
    for number in range(50):
        news.add(f"event {number} " + "x" * 200)

    shown = lines(snapshot(), width, height, news)

    assert len(shown) == height
    assert "Ctrl-C" in shown[-1]
    assert all(len(line) <= width for line in shown)
    assert "…" not in "\n".join(shown[:-8])


def test_tenants_and_lanes_are_both_shown_on_a_small_terminal():
    text = "\n".join(lines(snapshot(), 80, 24))

    assert all(name in text for name in [*TENANTS, *(lane.label for lane in Lane)])


def test_each_tenant_shows_its_lanes_on_a_tall_terminal():
    text = "\n".join(lines(snapshot(), 100, 30))

    assert text.count("critical") == len(TENANTS)


def test_the_frame_says_when_the_gate_has_lost_its_data():
    assert "rebuilt from the rows" in "\n".join(lines(snapshot(uses=()), 80, 24))


def test_a_failed_job_is_seen():
    failed = [ROWS[0]._replace(state="failed"), *ROWS[1:]]

    assert "1 failed" in "\n".join(lines(snapshot(failed), 100, 30))


@pytest.mark.parametrize("part", [-1.0, 0.0, 0.01, 0.5, 0.999, 1.0, 7.0])
def test_a_bar_has_its_width_whatever_it_shows(part):
    assert len(bar(part, 10)) == 10


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"event": "x"}',
        '{"event": "Connected", "logger": "celery.worker", "level": "warning"}',
        '{"event": "all is well", "logger": "rateguard.jobs.line.pump", "level": "info"}',
    ],
)
def test_only_our_own_warnings_and_the_caretaker_are_news(line):
    assert told_by(line) is None


def test_a_warning_of_ours_is_news():
    line = '{"event": "gate rebuilt at epoch 2", "logger": "rateguard.jobs.upkeep.rebuild", "level": "warning"}'

    assert told_by(line) == "gate rebuilt at epoch 2"
