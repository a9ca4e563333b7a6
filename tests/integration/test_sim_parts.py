"""What the simulated provider counts with: windows, buckets, what is given back, the prompt cache."""

import pytest

from rateguard.engine.providers.sim.buckets import Bucket, worst_level
from rateguard.engine.providers.sim.config import Caching, LimitRule, ModelPrice
from rateguard.engine.providers.sim.journal import Arrival, bill_nano_usd
from rateguard.engine.providers.sim.log_file import LogFile, read_log
from rateguard.engine.providers.sim.meters import Load
from rateguard.engine.providers.sim.prompt_cache import LONG, NOTHING, SHORT, Part, PromptCache
from rateguard.engine.providers.sim.windows import Window

RULE = LimitRule("tokens", 60, 60_000)
CACHING = Caching(least_tokens=100, ttl_ms=1_000, long_ttl_ms=10_000)


def test_a_bucket_refills_continuously():
    bucket = Bucket(RULE)
    bucket.add(0, 60)

    assert not bucket.has_room(999, 1)
    assert bucket.has_room(1_000, 1)
    assert bucket.wait_ms(10_000, 30) == pytest.approx(20_000)
    assert bucket.wait_ms(10_000, 61) is None
    assert bucket.full_in_ms(10_000) == pytest.approx(50_000)
    assert worst_level([Load(0, 60), Load(30_000, 30), Load(60_000, 31)], RULE) == 61


@pytest.mark.parametrize("meter", [Window, Bucket])
def test_what_is_given_back_is_free_at_once(meter):
    held = meter(RULE)
    load = held.add(0, 60)
    held.change(load, 20, 0)
    assert held.used(0) == 20
    assert held.has_room(0, 40)


def test_what_a_window_has_forgotten_gives_nothing_back():
    window = Window(RULE)
    load = window.add(0, 60)
    window.add(30_000, 10)
    window.change(load, 20, 60_000)
    assert window.used(60_000) == 10


def test_a_marked_prompt_is_written_to_its_marks_and_read_to_the_last_one_known():
    cache = PromptCache()
    parts = [Part(b"a" * 400, LONG), Part(b"b" * 400, SHORT), Part(b"c" * 200)]

    first = cache.look_marked("ann", parts, 1_000, CACHING, 0)
    cache.keep(first, 0)
    again = cache.look_marked("ann", parts, 1_000, CACHING, 500)
    late = cache.look_marked("ann", parts, 1_000, CACHING, 1_500)
    changed = cache.look_marked("ann", [parts[0], Part(b"d" * 600, SHORT)], 1_000, CACHING, 500)
    others = cache.look_marked("bob", parts, 1_000, CACHING, 500)

    assert (first.read, first.written, first.written_long) == (0, 400, 400)
    assert (again.read, again.written, again.written_long) == (800, 0, 0)
    assert (late.read, late.written, late.written_long) == (400, 400, 0)
    assert (changed.read, changed.written) == (400, 600)
    assert (others.read, others.written_long) == (0, 400)
    assert cache.look_marked("ann", [Part(b"a" * 400, LONG)], 99, CACHING, 0).keep == []


def test_a_prompt_that_nobody_marks_is_known_by_how_it_begins():
    cache, prompt = PromptCache(), b"the same beginning " * 200
    cache.keep(cache.look("ann", prompt + b"one", 1_000, CACHING, 0), 0)

    known = cache.look("ann", prompt + b"two", 1_000, CACHING, 999)
    assert 100 <= known.read <= 1_000
    assert known.read % 128 == 0
    assert cache.look("ann", prompt + b"two", 1_000, CACHING, 1_001).read == 0
    assert cache.look("ann", b"another" + prompt, 1_000, CACHING, 0).read == 0
    assert cache.look("ann", prompt, 99, CACHING, 0) is NOTHING


def test_each_part_of_the_input_has_its_price_and_a_tier_multiplies_all():
    price = ModelPrice(1_000, 2_000, cached=100, cache_write=1_250, cache_write_long=2_000)
    parts = {"cached": 10, "written": 20, "written_long": 30}
    thousandths = 40 * 1_000 + 10 * 100 + 20 * 1_250 + 30 * 2_000 + 5 * 2_000

    assert bill_nano_usd(price, 100, 5, **parts) == thousandths // 1_000
    assert bill_nano_usd(price, 100, 5, **parts, tier="flex") == thousandths // 2_000
    assert bill_nano_usd(ModelPrice(1_000, 2_000), 100, 5, **parts) == 110


def test_the_log_says_what_was_given_back(tmp_path):
    log = LogFile(tmp_path / "log.jsonl")
    log.write_record("arrival", Arrival("a.1", "k", "m", 0.0, 100, 200, is_accepted=True), request_id="r", monotonic_s=0.0, fault="")
    log.write("settled", request_id="r", settled_tokens=30, output_tokens=7)
    (one,) = read_log(tmp_path / "log.jsonl")
    assert (one.arrival.load("tokens"), one.arrival.load("output_tokens"), one.arrival.load("requests")) == (30, 7, 1)
