"""The simulated provider as an outside witness: over real HTTP, against its own process, with OpenAI's own client."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request

import aiohttp
import openai
import pytest

from rateguard.engine.encodings import get_encoding
from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.sim.config import LimitRule, ModelPrice
from rateguard.engine.providers.sim.control import SimControl
from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm
from rateguard.engine.providers.sim.journal import bill_nano_usd
from rateguard.engine.providers.sim.meters import Load
from rateguard.engine.providers.sim.process import SimHandle, start_simprovider
from rateguard.engine.providers.sim.windows import mean_load, worst_load
from rateguard.engine.providers.sim.words import pick_words
from tests.simprovider import sim, sim_process, wait_for  # noqa: F401 - fixtures

MESSAGES = [{"role": "user", "content": "How many clips did Natalia sell?"}]


@pytest.fixture
def client(sim: SimHandle):  # noqa: F811
    with openai.OpenAI(base_url=sim.base_url, api_key="sk-ann", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, text: str = "Hi", max_tokens: int = 20, attempt: str = "a-1"):
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, max_tokens=max_tokens, extra_headers={"X-Client-Request-Id": attempt}
    )


def tokens_of(text: str, encoding: str = "o200k_base") -> int:
    return len(get_encoding(encoding).encode_ordinary(text))


# The official client believes it


def test_the_official_client_gets_a_chat_whose_usage_is_what_its_text_has(client: openai.OpenAI):
    reply = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, max_tokens=100)

    assert reply.id.startswith("chatcmpl-")
    assert reply.object == "chat.completion"
    assert 40 <= reply.usage.completion_tokens <= 100
    assert reply.usage.completion_tokens == tokens_of(reply.choices[0].message.content)
    assert reply.usage.prompt_tokens == 3 + 3 + 1 + tokens_of(MESSAGES[0]["content"])
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.choices[0].finish_reason == ("length" if reply.usage.completion_tokens == 100 else "stop")
    assert reply._request_id.startswith("req_")


def test_the_official_client_gets_a_stream_with_usage_only_if_it_asks(client: openai.OpenAI):
    asked = client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, max_tokens=30, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(asked)
    plain = list(client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, max_tokens=30, stream=True))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == tokens_of(text)
    assert chunks[-2].choices[0].finish_reason in {"stop", "length"}
    assert all(chunk.usage is None and chunk.choices for chunk in plain)


def test_the_official_client_gets_embeddings_in_both_formats(client: openai.OpenAI):
    packed = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    plain = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], encoding_format="float", dimensions=8)

    assert [len(item.embedding) for item in packed.data] == [1536, 1536]
    assert [len(item.embedding) for item in plain.data] == [8, 8]
    assert packed.data[0].embedding != packed.data[1].embedding
    assert sum(value * value for value in packed.data[0].embedding) == pytest.approx(1.0, abs=1e-5)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens == 2


def test_the_official_client_lists_the_models(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(prices={"gpt-4o": ModelPrice(), "*": ModelPrice()})
    assert [model.id for model in client.models.list()] == ["gpt-4o"]


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        (FaultKind.RATE_LIMITED, openai.RateLimitError, "rate_limit_exceeded"),
        (FaultKind.INSUFFICIENT_QUOTA, openai.RateLimitError, "insufficient_quota"),
        (FaultKind.CONTEXT_LENGTH, openai.BadRequestError, "context_length_exceeded"),
        (FaultKind.CONTENT_FILTER, openai.BadRequestError, "content_filter"),
        (FaultKind.SERVER_ERROR, openai.InternalServerError, None),
        (FaultKind.OVERLOADED, openai.InternalServerError, "server_is_overloaded"),
        (FaultKind.HTML, openai.InternalServerError, None),
        (FaultKind.RESET, openai.APIConnectionError, None),
    ],
)
def test_the_official_client_raises_its_class_for_each_fault(sim: SimHandle, client: openai.OpenAI, kind, error, code):  # noqa: F811
    sim.control.add_faults(Fault(kind))

    with pytest.raises(error) as caught:
        ask(client)

    assert caught.value.code == code
    assert ask(client).choices
    assert [line.attempt_id for line in sim.control.bill()] == ["a-1"]


def test_unknown_keys_and_models_are_refused(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(keys=["sk-bob"])
    with pytest.raises(openai.AuthenticationError):
        ask(client)
    sim.control.configure(keys=[], models=["gpt-4o"])
    with pytest.raises(openai.NotFoundError):
        ask(client)
    assert sim.control.stats()["requests"] == 0


@pytest.mark.parametrize(
    "body", [{"model": "m"}, {"messages": []}, {"model": "m", "messages": [], "max_tokens": 0}, {"model": "m", "messages": ["x"]}]
)
def test_a_request_that_makes_no_sense_is_refused(client: openai.OpenAI, body: dict[str, object]):
    with pytest.raises(openai.BadRequestError):
        client.post("/chat/completions", body=body, cast_to=object)


# Chance


def test_the_same_seed_and_body_give_the_same_answer_and_another_seed_another(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    first, again = (ask(client, max_tokens=500).choices[0].message.content for _ in range(2))
    sim.control.configure(seed=2)
    other = ask(client, max_tokens=500).choices[0].message.content

    assert first == again
    assert first != other


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
def test_n_words_are_n_tokens_wherever_they_start(encoding: str):
    for place in range(0, 400, 7):
        assert tokens_of("".join(pick_words(place, 300)), encoding) == 300


# Limits


def test_a_requests_limit_lets_in_exactly_its_amount_and_tells_the_wait(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(limits={"sk-ann": [LimitRule("requests", 3, 60_000)]})

    for _ in range(3):
        ask(client)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client)

    headers = caught.value.response.headers
    assert 58 <= int(headers["retry-after"]) <= 60
    assert 58_000 <= int(headers["retry-after-ms"]) <= 60_000
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert "in organization org-sim on requests" in caught.value.message
    stats = sim.control.stats()
    assert (stats["accepted"], stats["replies_429"], stats["worst_window_ratio"]) == (3, 1, 1.0)
    assert stats["limits"][0]["worst_offered_ratio"] == pytest.approx(4 / 3)


def test_a_tokens_limit_counts_input_and_max_tokens_on_arrival(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    need = 3 + 3 + 1 + 1 + 20
    sim.control.configure(limits={"*": [LimitRule("tokens", 2 * need, 60_000)]})

    first = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], max_completion_tokens=20
    )
    ask(client)
    with pytest.raises(openai.RateLimitError):
        ask(client)

    assert first.headers["x-ratelimit-remaining-tokens"] == str(need)
    assert [arrival.counted_tokens for arrival in sim.control.log()] == [need, need, need]
    assert [arrival.status for arrival in sim.control.log()] == [200, 200, 429]


def test_room_comes_back_when_the_window_has_passed_and_refused_requests_take_none(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("requests", 1, 300)]})
    ask(client)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client)

    time.sleep(int(caught.value.response.headers["retry-after-ms"]) / 1_000)

    assert ask(client).choices


def test_accounts_and_models_have_limits_of_their_own(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("requests", 1, 60_000, model="gpt-4o-mini")]})
    ask(client)
    with pytest.raises(openai.RateLimitError, match="for gpt-4o-mini in organization"):
        ask(client)

    assert client.chat.completions.create(model="gpt-4o", messages=MESSAGES).choices
    with openai.OpenAI(base_url=sim.base_url, api_key="sk-bob", max_retries=0) as bob:
        assert ask(bob).choices


def test_a_request_larger_than_the_limit_is_told_so_without_a_wait(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("tokens", 10, 60_000)]})
    with pytest.raises(openai.RateLimitError, match="Request too large") as caught:
        ask(client)
    assert "retry-after" not in caught.value.response.headers


def test_a_watched_limit_refuses_nothing_and_shows_its_worst_window(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("requests", 2, 60_000, enforce=False)]})
    for _ in range(3):
        ask(client)
    assert sim.control.stats()["worst_window_ratio"] == 1.5


def test_the_worst_window_and_the_mean_are_exact():
    rng = random.Random(3)
    loads = [Load(at, rng.randint(1, 9)) for at in sorted(rng.uniform(0, 100) for _ in range(300))]

    def load_at(end: float) -> int:
        return sum(load.amount for load in loads if end - 10 < load.at_ms <= end)

    grid = [20 + 60 * (step + 0.5) / 20_000 for step in range(20_000)]
    inside = [load for load in loads if 10 < load.at_ms <= 80]
    assert worst_load(loads, 10) == max(load_at(load.at_ms) for load in loads)
    assert mean_load(loads, 10, 10, 80) == pytest.approx(sum(map(load_at, grid[::20])) / 1_000, rel=1e-2)
    assert mean_load(inside, 10, 10, 80) == mean_load(loads, 10, 10, 80)
    assert mean_load(loads, 10, 10, 19) is None
    assert worst_load([Load(0, 1), Load(10, 1)], 10) == 1  # half open: (t - W, t]


# The bill


@pytest.mark.parametrize(
    ("price", "input_tokens", "output_tokens", "nano"),
    [
        (ModelPrice(150_000, 600_000), 7, 3, 2_850),
        (ModelPrice(37_500, 0), 1, 0, 38),
        (ModelPrice(499, 0), 1, 0, 0),
        (ModelPrice(500, 0), 1, 0, 1),
    ],
)
def test_the_bill_rounds_each_request_once_half_up(price: ModelPrice, input_tokens: int, output_tokens: int, nano: int):
    assert bill_nano_usd(price, input_tokens, output_tokens) == nano


def test_each_accepted_request_is_one_line_of_the_bill(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(prices={"gpt-4o-mini": ModelPrice(37_500, 600_000)})

    reply = ask(client, attempt="job-7:1")

    (line,) = sim.control.bill()
    assert (line.attempt_id, line.key, line.request_id, line.aborted) == ("job-7:1", "sk-ann", reply._request_id, False)
    assert (line.input_tokens, line.output_tokens) == (reply.usage.prompt_tokens, reply.usage.completion_tokens)
    assert line.nano_usd == (reply.usage.prompt_tokens * 375 + reply.usage.completion_tokens * 6_000 + 5) // 10


async def test_a_call_whose_caller_left_is_billed_in_full(sim: SimHandle):  # noqa: F811
    sim.control.configure(latency={"base_ms": 300})
    body = {"model": "gpt-4o-mini", "messages": MESSAGES, "max_tokens": 50}
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await session.post(f"{sim.base_url}/chat/completions", json=body, timeout=aiohttp.ClientTimeout(total=0.1))

    (line,) = await asyncio.to_thread(sim.control.bill)
    assert 20 <= line.output_tokens <= 50
    assert line.nano_usd > 0


async def test_a_stream_whose_caller_left_is_billed_by_what_it_had_produced(sim: SimHandle):  # noqa: F811
    sim.control.configure(latency={"per_token_ms": 20}, output={"least": 1.0})
    body = {"model": "gpt-4o-mini", "messages": MESSAGES, "max_tokens": 100, "stream": True}
    async with aiohttp.ClientSession() as session, session.post(f"{sim.base_url}/chat/completions", json=body) as reply:
        async for line in reply.content:
            if b'"content":" ' in line:
                break
        reply.close()

    (line,) = await asyncio.to_thread(wait_for, sim.control.bill)
    assert line.aborted
    assert 2 <= line.output_tokens < 50
    assert line.nano_usd == bill_nano_usd(ModelPrice(), line.input_tokens, line.output_tokens)


# What it says about time


def test_processing_time_runs_from_the_count_to_the_headers(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(latency={"base_ms": 150})
    before_ms = time.time() * 1_000
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES, max_tokens=5)
    after_ms = time.time() * 1_000

    (arrival,) = sim.control.log()
    processing_ms = int(raw.headers["openai-processing-ms"])
    clocks_ms = 5.0
    assert processing_ms >= 149  # timers may wake a millisecond early
    assert before_ms - clocks_ms <= arrival.arrived_ms <= after_ms - processing_ms + clocks_ms


def test_latency_grows_by_the_token_and_jitters_by_the_seed(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(latency={"base_ms": 50, "per_token_ms": 2, "jitter": 0.5}, output={"least": 1.0})

    def took_ms() -> int:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES, max_tokens=100)
        return int(raw.headers["openai-processing-ms"])

    first, again = took_ms(), took_ms()
    sim.control.configure(seed=5)
    other = took_ms()

    assert 125 <= first <= 400
    assert abs(first - again) < 25
    assert abs(first - other) > 25


# Faults


@pytest.mark.parametrize(
    ("form", "header", "value"),
    [
        (RetryAfterForm.SECONDS, "retry-after", "2"),
        (RetryAfterForm.FLOAT, "retry-after", "1.500"),
        (RetryAfterForm.MILLISECONDS, "retry-after-ms", "1500"),
        (RetryAfterForm.ZERO, "retry-after", "0"),
        (RetryAfterForm.RESET, "x-ratelimit-reset-requests", "1.5s"),
        (RetryAfterForm.NONE, "retry-after", None),
    ],
)
def test_a_scripted_429_says_its_wait_in_the_chosen_form(sim: SimHandle, client: openai.OpenAI, form, header, value):  # noqa: F811
    sim.control.add_faults(Fault(FaultKind.RATE_LIMITED, wait_ms=1_500, retry_after=form))
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client)
    assert caught.value.response.headers.get(header) == value


def test_a_fault_meets_the_requests_that_it_names_and_no_others(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.add_faults(Fault(FaultKind.SERVER_ERROR, count=2, skip=1, attempt_id="a-2"))

    def fails(attempt: str) -> bool:
        try:
            ask(client, attempt=attempt)
        except openai.InternalServerError:
            return True
        return False

    assert [fails(attempt) for attempt in ("a-1", "a-2", "a-2", "a-1", "a-2", "a-2")] == [False, False, True, False, True, False]
    assert sim.control.stats()["faults_served"] == 2


def test_an_episode_meets_every_request_until_it_ends(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.add_faults(Fault(FaultKind.SERVER_ERROR, for_ms=300))
    ended_at = time.monotonic() + 0.3
    for _ in range(3):
        with pytest.raises(openai.InternalServerError):
            ask(client)
    assert time.monotonic() < ended_at
    time.sleep(ended_at - time.monotonic())
    ask(client)
    assert sim.control.stats()["faults_served"] == 3


# Control


def test_control_needs_its_token_and_names_what_it_does_not_know(sim: SimHandle):  # noqa: F811
    with pytest.raises(ConfigurationError, match="token"):
        SimControl(sim.url, "guess").stats()
    with pytest.raises(ConfigurationError, match="colour"):
        sim.control.configure(colour="red")
    with pytest.raises(ConfigurationError, match="metric"):
        sim.control._call("POST", "configure", {"limits": {"*": [{"metric": "images", "amount": 1, "window_ms": 1}]}})
    assert sim.control.config()["seed"] == 1


def test_new_limits_know_what_was_accepted_before(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    ask(client)
    sim.control.configure(limits={"*": [LimitRule("requests", 1, 60_000)]})
    with pytest.raises(openai.RateLimitError):
        ask(client)


def test_stats_tell_each_limits_mean_use_in_a_span(sim: SimHandle, client: openai.OpenAI):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("requests", 10, 10)]})
    ask(client)
    (arrival,) = sim.control.log()
    (limit,) = sim.control.stats(arrival.arrived_ms - 20, arrival.arrived_ms + 20)["limits"]
    assert limit["mean_window_ratio"] == pytest.approx(1 / 10 * 10 / 30)


def test_it_dies_with_the_process_that_started_it():
    code = (
        "import time\n"
        "from rateguard.engine.providers.sim.process import start_simprovider\n"
        "print(start_simprovider().process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    parent.stdout.close()
    assert wait_for(lambda: not _is_running(pid))


def _is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_it_starts_alone_and_tells_the_token_that_it_made():
    command = [sys.executable, "-m", "rateguard.engine.providers.sim", "--stop-with-stdin"]
    environment = {name: value for name, value in os.environ.items() if name != "RATEGUARD_SIM_CONTROL_TOKEN"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    ready = json.loads(process.stdout.readline())

    assert SimControl(ready["url"], ready["control_token"]).stats()["requests"] == 0
    process.communicate(timeout=10)


def test_the_witness_shares_no_code_with_our_money_limits_and_gate():
    code = "import sys, rateguard.engine.providers.sim.__main__; print(*(name for name in sys.modules if name.startswith('rateguard.')))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    ours = {".".join(name.split(".")[:3]) for name in modules} - {"rateguard.engine"}
    assert ours == {"rateguard.engine.providers", "rateguard.engine.tokens", "rateguard.engine.encodings", "rateguard.engine.errors"}


def test_a_handle_stops_its_process():
    handle = start_simprovider(seed=3)
    assert handle.control.config()["seed"] == 3

    handle.stop()
    handle.stop()

    assert handle.process.poll() is not None
    with pytest.raises(OSError):
        urllib.request.urlopen(handle.url, timeout=1)
