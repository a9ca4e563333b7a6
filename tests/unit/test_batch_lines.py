"""The content of a batch, however the stream was cut; and what unpacks to very much is refused at the bound."""

from __future__ import annotations

import gzip
import itertools
import json
import random

import pytest

from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.batches.lines import Document, lines_of
from rateguard.jobs.batches.unpacking import bounded, unpacked

JOBS = [{"a": 'quote " brace } bracket ]', "b": [1, [2, {"c": "\\"}]]}, {}, 3, "x,]", {"ü": "日本"}]
MEMBERS = {"name": "n", "metadata": {"jobs": [1, "]}"]}, "job": {"lane": "low"}}
TEXTS = [
    json.dumps({**MEMBERS, "jobs": JOBS}, indent=1, ensure_ascii=False).encode(),
    b"\xef\xbb\xbf" + json.dumps({"jobs": JOBS, **MEMBERS}).encode(),
]
CUTS = 400


def cut(raw: bytes, chance: random.Random) -> list[bytes]:
    """The same bytes in a few pieces, some of them empty."""
    places = sorted(chance.choices(range(len(raw) + 1), k=chance.randint(0, 12)))
    return [raw[begin:end] for begin, end in itertools.pairwise([0, *places, len(raw)])]


@pytest.mark.parametrize("raw", TEXTS, ids=["indented", "with a mark"])
def test_any_cut_of_a_document_gives_the_same_jobs(raw):
    chance = random.Random(7)
    for pieces in (cut(raw, chance) for _ in range(CUTS)):
        document = Document(pieces)
        assert [json.loads(job) for job in document.jobs() if job is not None] == JOBS
        assert document.members == MEMBERS


def test_any_cut_of_lines_gives_the_same_lines():
    chance, raw = random.Random(7), b'{"a": 1}\n\n{"b": "' + b"x" * 40 + b'"}\r\n{"c": 3}'
    for most, told in ((100, raw.split(b"\n")), (20, [b'{"a": 1}', b"", None, b'{"c": 3}'])):
        for pieces in (cut(raw, chance) for _ in range(CUTS)):
            assert list(lines_of(pieces, most)) == told


def test_a_job_that_is_too_long_is_told_and_the_others_come():
    raw = json.dumps({"jobs": [1, "x" * 100, 2]}).encode()
    assert list(Document([raw[:30], raw[30:]], most=20).jobs()) == [b"1", None, b" 2"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{", b'{"jobs":[1]}x', b'{"jobs":[}', b'{"jobs":[1,]}', b'{"jobs":[1] 3}', b'{"a":1,,"jobs":[]}', b'{"jobs":[1],}'],
)
def test_what_is_no_document_is_refused(raw):
    with pytest.raises(InvalidRequest) as caught:
        list(Document([raw]).jobs())
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{}", "missing_field"),
        (b'{"jobs": 3}', "invalid_field"),
        (b'{"jobs": [], "jobs": []}', "invalid_json"),
        (b'{"name": 1, "name": 2, "jobs": []}', "invalid_json"),
    ],
)
def test_the_list_of_jobs_stands_once(raw, code):
    with pytest.raises(InvalidRequest) as caught:
        list(Document([raw]).jobs())
    assert caught.value.code == code


def test_what_gzip_packed_comes_out_whole_however_it_is_cut():
    raw = b"\n".join(b"line %d of many" % number for number in range(50_000))
    packed = gzip.compress(raw[:1000]) + gzip.compress(raw[1000:])
    for pieces in (cut(packed, random.Random(7)), [packed]):
        assert b"".join(unpacked(pieces)) == raw


def test_a_bomb_is_refused_at_the_bound():
    bomb = gzip.compress(b"\0" * 50_000_000)
    came: list[int] = []
    with pytest.raises(InvalidRequest) as caught:
        came.extend(map(len, unpacked([bomb])))
    assert caught.value.code == "body_too_large"
    assert sum(came) < 5_000_000
    with pytest.raises(InvalidRequest):
        list(bounded(unpacked([gzip.compress(b"ab\n" * 1_000)]), 2_000))


@pytest.mark.parametrize("packed", [b"not packed", gzip.compress(b"x" * 1000)[:-5]], ids=["other bytes", "cut short"])
def test_what_is_not_whole_is_refused(packed):
    with pytest.raises(InvalidRequest) as caught:
        list(unpacked([packed]))
    assert caught.value.code == "invalid_gzip"
