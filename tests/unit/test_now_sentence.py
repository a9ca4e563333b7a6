"""The sentence of the page Now: what is said of which figures."""

import pytest

from dashboard.panels.now_sentence import Situation, sentence

ACCOUNT = "600 requests/min on account openai-main"
BUSY = {
    "waiting": 4_180,
    "finished": 312,
    "workers": 2,
    "running": 40,
    "obstacle": ACCOUNT,
    "held": 3_900,
    "looked_at": 4_180,
    "opens_ms": 900,
}

SAID = [
    ({}, "good", "Accepting jobs. Nothing waits."),
    ({"workers": 0}, "warn", "Accepting jobs. No worker runs and nothing waits."),
    ({"running": 1}, "good", "Accepting jobs. 1 job runs and nothing waits."),
    (
        {"running": 12, "finished": 90, "later": 3},
        "good",
        "Accepting jobs. Finishing 90 a minute; 12 jobs run and nothing waits but 3 jobs for a later time.",
    ),
    (BUSY, "good", f"Accepting jobs. Finishing 312 a minute; 4,180 wait, mostly for {ACCOUNT}. At this rate they are done in 13 min."),
    (
        {**BUSY, "held": 4_180},
        "good",
        f"Accepting jobs. Finishing 312 a minute; 4,180 wait for {ACCOUNT}. At this rate they are done in 13 min.",
    ),
    (
        {**BUSY, "held": 400, "is_more": True, "waiting": 100_000},
        "good",
        (
            f"Accepting jobs. Finishing 312 a minute; 100,000+ wait, 400 of them for {ACCOUNT}. "
            "At this rate they are done in more than 5 hours."
        ),
    ),
    (
        {**BUSY, "obstacle": "", "held": 0, "waiting": 20},
        "good",
        "Accepting jobs. Finishing 312 a minute; 20 wait and start as their turn comes. At this rate they are done in less than a minute.",
    ),
    (
        {**BUSY, "finished": 0, "opens_ms": 90_000},
        "warn",
        f"Accepting jobs. None finished in the last minute; 4,180 wait, mostly for {ACCOUNT}. There is room in 90 s at the latest.",
    ),
    (
        {**BUSY, "finished": 0, "opens_ms": None, "obstacle": "the end of the pause of lane low", "held": 4_180},
        "warn",
        "Accepting jobs. None finished in the last minute; 4,180 wait for the end of the pause of lane low. That does not open by itself.",
    ),
    (
        {"waiting": 1, "workers": 0, "finished": 9, "obstacle": "a worker to be started", "held": 1, "looked_at": 1},
        "bad",
        "Accepting jobs. No worker runs: 1 waits for a worker to be started.",
    ),
    (
        {**BUSY, "finished": 0, "failed": 250, "obstacle": "", "held": 0},
        "bad",
        "Accepting jobs. None finished in the last minute, and 250 attempts failed; 4,180 wait and start as their turn comes.",
    ),
    (
        {**BUSY, "gate_is_away": True, "workers": None},
        "bad",
        (
            "Accepting jobs, but the gate does not answer: no new job starts until it is back. "
            f"312 finished in the last minute; 4,180 wait, when last seen for {ACCOUNT}."
        ),
    ),
    (
        {"gate_is_away": True},
        "bad",
        "Accepting jobs, but the gate does not answer: no new job starts until it is back. Nothing waits.",
    ),
    ({"is_read_only": True}, "bad", "Not accepting jobs: the database takes no writing. Nothing waits."),
    (
        {**BUSY, "bound": 4_180},
        "bad",
        (
            "Not accepting jobs: 4,180 wait, which is the most that may. "
            f"Finishing 312 a minute; 4,180 wait, mostly for {ACCOUNT}. At this rate they are done in 13 min."
        ),
    ),
]


@pytest.mark.parametrize(("figures", "level", "text"), SAID)
def test_the_sentence_says_what_the_figures_are(figures, level, text):
    said = sentence(Situation(**figures))
    assert (said.text, said.level) == (text, level)


def test_the_time_until_all_is_done_is_said_in_units_that_people_use():
    def end(waiting):
        return sentence(Situation(waiting=waiting, finished=1, workers=1)).text.rpartition("done in ")[2]

    assert [end(2), end(119), end(150), end(2_879), end(14_400)] == ["2 min.", "119 min.", "2 hours.", "48 hours.", "10 days."]
