"""Presets: each is an entry that says how a provider differs, read strictly; what it says is what is sent and understood."""

import orjson
import pytest

from rateguard.engine.errors import ConfigurationError, ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.capabilities import Admission, Feature
from rateguard.engine.providers.compatible.presets import PRESETS, parse_preset
from rateguard.engine.providers.http import HttpClient, Reply
from rateguard.engine.providers.probe import names_in_data
from rateguard.engine.providers.registry import PROVIDERS, ProviderRegistry, admission_of, class_of
from rateguard.engine.readings import Axis, Reading
from tenants.notation import parse_limit
from tests.dialects.cases import ASKS, SAID, body
from tests.dialects.openai_speech import SPEECH, usage_of
from tests.dialects.test_dialects import STREAMED, read_in

NAMES = sorted(PRESETS)


def provider_of(name, providers=PROVIDERS):
    return ProviderRegistry(HttpClient(), providers).get(name)


def at(name, model="some-model", **fields):
    return Target(name, PRESETS[name].base_url or "http://127.0.0.1:1/v1", fields.pop("key", "key-0123456789"), model, **fields)


def chat(**fields):
    return Request(Endpoint.CHAT, body(**fields), "a-1")


def sent_by(name, request, **fields):
    return orjson.loads(provider_of(name).write(at(name, **fields), request, is_streamed=False).body)


def read(name, raw, headers=None):
    return provider_of(name).read(at(name), chat(), Reply(200, headers or {}, raw, 0.0, 0.0))


def answer(finish="stop", **fields):
    choice = {"index": 0, "message": {"role": "assistant", "content": "72"}, "finish_reason": finish}
    return orjson.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage_of(Usage(9, 0, 0, 3)), **fields})


# ---- each preset


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_sends_what_it_says_and_refuses_what_it_lacks(name):
    provider, preset = provider_of(name), PRESETS[name]
    wire = provider.write(at(name), chat(), is_streamed=False)
    sent = orjson.loads(wire.body)
    assert wire.url == f"{at(name).base_url}/chat/completions"
    assert wire.headers["Authorization"] == "Bearer key-0123456789"
    assert sent[preset.quirks.max_tokens_field] == 64
    assert len(sent.keys() & {"max_tokens", "max_completion_tokens"}) == 1
    for feature in Feature:
        target = at(name)
        if feature in provider.capabilities_of(target).features:
            provider.check(target, Request(Endpoint.CHAT, ASKS[feature], "a"))
        else:
            with pytest.raises(InvalidRequest, match=name):
                provider.check(target, Request(Endpoint.CHAT, ASKS[feature], "a"))


@pytest.mark.parametrize("name", NAMES)
def test_a_presets_limits_are_in_peoples_words_and_its_admission_is_its_own(name):
    assert all(parse_limit(limit) for limit in PRESETS[name].default_limits)
    assert admission_of(name) == PRESETS[name].admission


@pytest.mark.parametrize("name", sorted(set(PROVIDERS) - set(PRESETS) - {"sim"}))
def test_what_a_provider_counts_is_known_without_loading_its_adapter(name):
    assert admission_of(name) == class_of(name).admission


def test_what_passes_from_a_server_without_keys_has_none():
    assert "Authorization" not in provider_of("vllm").write(at("vllm", key=""), chat(), is_streamed=False).headers


# ---- requests


def test_a_field_goes_out_under_the_name_that_it_has_there_and_zero_stays_zero():
    sent = sent_by("mistral", chat(seed=0, temperature=0))
    assert (sent["random_seed"], sent["temperature"]) == (0, 0)
    assert "seed" not in sent


def test_a_field_that_is_not_taken_is_refused_with_its_name():
    with pytest.raises(InvalidRequest) as raised:
        provider_of("mistral").check(at("mistral"), chat(user="u", store=True))
    assert [pointer for pointer, _ in raised.value.errors] == ["/store", "/user"]
    assert raised.value.code == "unsupported_by_provider"


def test_usage_is_asked_for_where_that_is_how_it_comes():
    mistral, groq = (orjson.loads(provider_of(one).write(at(one), chat(), is_streamed=True).body) for one in ("mistral", "groq"))
    assert "stream_options" not in mistral
    assert groq["stream_options"] == {"include_usage": True}
    assert sent_by("openrouter", chat())["usage"] == {"include": True}


MARKED = [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]


def test_marks_for_the_cache_go_where_they_are_known_and_are_refused_elsewhere():
    provider_of("openrouter").check(at("openrouter"), chat(messages=MARKED))
    assert sent_by("openrouter", chat(messages=MARKED))["messages"] == MARKED
    for name in ("groq", "mistral"):
        with pytest.raises(InvalidRequest) as raised:
            provider_of(name).check(at(name), chat(messages=MARKED))
        assert raised.value.pointer == "/messages/0/content/0/cache_control"


def test_thoughts_go_back_to_who_takes_them_and_no_one_elses_signatures_do():
    said = {"role": "assistant", "content": "a", "reasoning_content": "why", "provider_fields": {"anthropic": {}}}
    messages = [said, {"role": "user", "content": "b"}]
    assert sent_by("deepseek", chat(messages=messages))["messages"][0] == {"role": "assistant", "content": "a", "reasoning_content": "why"}
    assert sent_by("groq", chat(messages=messages))["messages"][0] == {"role": "assistant", "content": "a"}
    assert said["provider_fields"] == {"anthropic": {}}


def test_a_model_may_lack_more_than_its_provider():
    provider_of("xai").check(at("xai", "grok-3"), chat(stop=["x"]))
    with pytest.raises(InvalidRequest, match="stop"):
        provider_of("xai").check(at("xai", "grok-4.7"), chat(stop=["x"]))


def test_an_endpoint_goes_only_where_it_is_spoken():
    provider_of("vllm").check(at("vllm"), Request(Endpoint.RESPONSES, {"input": "x"}, "a"))
    for endpoint in (Endpoint.RESPONSES, Endpoint.EMBEDDINGS):
        with pytest.raises(InvalidRequest, match="groq has no"):
            provider_of("groq").check(at("groq"), Request(endpoint, {"input": "x"}, "a"))


# ---- answers


def recounted(name, raw, usage):
    """How xAI and DeepSeek tell it."""
    told = usage_of(usage)
    if name == "xai":
        told["completion_tokens"] -= usage.reasoning_tokens
    else:
        del told["prompt_tokens_details"]
        told |= {"prompt_cache_hit_tokens": usage.cached_tokens, "prompt_cache_miss_tokens": usage.input_tokens}
    return raw.replace(orjson.dumps(usage_of(usage)), orjson.dumps(told))


@pytest.mark.parametrize("name", ["xai", "deepseek"])
@pytest.mark.parametrize("case", ["plain", "reasoning", "cached"])
def test_usage_that_is_counted_otherwise_comes_out_in_openais_words(name, case):
    said = SAID[case]
    whole = read(name, b"\n\n" + recounted(name, SPEECH.whole(said)[1], said.usage))
    headers, raw = SPEECH.stream(said)
    reader = provider_of(name).reader(at(name), chat(**STREAMED), headers)
    chunks = read_in(reader, [b": keep-alive\n\n" + recounted(name, raw, said.usage)])

    assert whole.usage == reader.answer().usage == said.usage
    for one in (whole.body, chunks[-1].data, reader.answer().body):
        told = orjson.loads(one)["usage"]
        assert told["completion_tokens"] == said.usage.output_tokens
        assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"]
        assert told["prompt_tokens_details"]["cached_tokens"] == said.usage.cached_tokens


def test_cached_input_that_a_header_alone_tells_is_not_billed_in_full():
    told = read("fireworks", answer(), {"fireworks-cached-prompt-tokens": "8"})
    assert (told.usage.input_tokens, told.usage.cached_tokens) == (1, 8)
    assert orjson.loads(told.body)["usage"]["prompt_tokens_details"]["cached_tokens"] == 8


@pytest.mark.parametrize(
    ("name", "raw", "word"), [("together", "eos", "stop"), ("mistral", "model_length", "length"), ("vllm", "abort", "stop")]
)
def test_a_stop_word_becomes_openais_and_stays_beside_it(name, raw, word):
    told = read(name, answer(raw))
    choice = orjson.loads(told.body)["choices"][0]
    assert (told.finish_reason, choice["finish_reason"], choice["native_finish_reason"]) == (word, word, raw)
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "72"}, "finish_reason": raw}]}
    reader = provider_of(name).reader(at(name), chat(), {})
    (piece,) = read_in(reader, [b"data: " + orjson.dumps(chunk) + b"\n\n"])
    assert orjson.loads(piece.data)["choices"][0]["finish_reason"] == word
    assert orjson.loads(reader.answer().body)["choices"][0]["native_finish_reason"] == raw


@pytest.mark.parametrize(("name", "raw"), [("mistral", "error"), ("deepseek", "insufficient_system_resource"), ("openrouter", "error")])
def test_an_answer_that_broke_off_is_none(name, raw):
    with pytest.raises(ProviderError) as raised:
        read(name, answer(raw))
    assert (raised.value.kind, raised.value.may_be_billed) == (ErrorKind.SERVER, True)


def test_an_answer_in_openais_words_is_not_written_anew():
    raw = answer()
    assert read("groq", raw).body is raw


# ---- errors


@pytest.mark.parametrize(
    ("name", "status", "headers", "told", "kind", "wait_ms"),
    [
        ("openrouter", 402, {"retry-after": "2"}, {"error": {"code": 402, "message": "in flight"}}, ErrorKind.RATE_LIMITED, 2_000),
        ("openrouter", 402, {}, {"error": {"code": 402, "message": "credits"}}, ErrorKind.QUOTA_EXHAUSTED, None),
        (
            "openrouter",
            403,
            {},
            {"error": {"code": 403, "metadata": {"reasons": ["hate"]}}},
            ErrorKind.CONTENT_FILTER,
            None,
        ),
        ("openrouter", 403, {}, {"error": {"code": 403, "message": "no"}}, ErrorKind.AUTH, None),
        ("vllm", 400, {}, {"object": "error", "message": "maximum context length is 9", "code": 400}, ErrorKind.CONTEXT_TOO_LONG, None),
        ("vllm", 404, {}, {"object": "error", "message": "no such model", "type": "NotFoundError", "code": 404}, ErrorKind.NOT_FOUND, None),
        ("ollama", 503, {}, {"error": "server busy, please try again.  maximum pending requests exceeded"}, ErrorKind.RATE_LIMITED, None),
        ("ollama", 400, {}, {"error": "the prompt exceeds the available context size"}, ErrorKind.CONTEXT_TOO_LONG, None),
        ("xai", 400, {}, {"code": "invalid-argument", "error": "Incorrect API key provided: xa***"}, ErrorKind.AUTH, None),
        (
            "deepseek",
            402,
            {},
            {"error": {"message": "Insufficient Balance", "code": "x"}},
            ErrorKind.QUOTA_EXHAUSTED,
            None,
        ),
        ("together", 429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, {}, ErrorKind.RATE_LIMITED, 1_000),
    ],
)
def test_each_providers_errors_mean_what_it_means(name, status, headers, told, kind, wait_ms):
    error = provider_of(name).error(at(name), status, headers, orjson.dumps(told))
    assert (error.kind, error.retry_after_ms) == (kind, wait_ms)


def test_an_error_with_status_200_has_its_status_in_its_code():
    with pytest.raises(ProviderError) as raised:
        read("openrouter", b'{"error": {"code": 429, "message": "upstream"}}')
    assert (raised.value.kind, raised.value.status) == (ErrorKind.RATE_LIMITED, 429)


# ---- limits


@pytest.mark.parametrize(
    ("name", "headers", "readings"),
    [
        (
            "groq",
            {"x-ratelimit-limit-requests": "14400", "x-ratelimit-remaining-requests": "14370", "x-ratelimit-reset-requests": "2m59.56s"},
            [Reading(Axis.REQUESTS, 86_400_000, 14_400, 14_370, 179_560)],
        ),
        (
            "mistral",
            {"x-ratelimit-limit-tokens-minute": "50000", "x-ratelimit-remaining-tokens-minute": "49000"},
            [Reading(Axis.TOKENS, 60_000, 50_000, 49_000)],
        ),
        (
            "together",
            {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9", "x-ratelimit-reset": "1", "x-tokenlimit-limit": "3000"},
            [Reading(Axis.REQUESTS, 1_000, 10, 9, 1_000), Reading(Axis.TOKENS, 1_000, 3_000)],
        ),
        (
            "fireworks",
            {"x-ratelimit-limit-tokens-prompt": "60000", "x-ratelimit-remaining-tokens-generated": "0"},
            [Reading(Axis.INPUT_TOKENS, 1_000, 60_000), Reading(Axis.OUTPUT_TOKENS, 1_000, remaining=0)],
        ),
        ("deepseek", {"x-ratelimit-limit-requests": "1"}, []),
    ],
)
def test_limit_headers_are_read_in_the_providers_units(name, headers, readings):
    assert list(provider_of(name).readings(at(name), headers)) == readings


def test_a_reset_may_be_a_moment():
    (reading,) = provider_of("openrouter").readings(at("openrouter"), {"x-ratelimit-limit": "50", "x-ratelimit-reset": "1000000000001"})
    assert (reading.limit, reading.window_ms, reading.reset_ms) == (50, 86_400_000, 0)


# ---- a preset of one's own


def test_a_projects_own_preset_is_a_provider_like_the_others():
    own = parse_preset(
        "ours",
        {
            "base_url": "https://llm.example.com/v2",
            "paths": {"chat": "/talk"},
            "key_header": "X-Key",
            "key_prefix": "",
            "headers": {"X-Team": "red"},
            "extra": {"safe": True},
            "lacks": ["tools"],
            "errors": {418: "overloaded", "tired": "rate_limited"},
            "admission": {"counts_max_tokens": False},
        },
    )
    provider = provider_of("ours", {**PROVIDERS, "ours": own})
    target = Target("ours", own.base_url, "key", "m")
    wire = provider.write(target, chat(), is_streamed=False)
    assert wire.url == "https://llm.example.com/v2/talk"
    assert (wire.headers["X-Key"], wire.headers["X-Team"]) == ("key", "red")
    assert orjson.loads(wire.body)["safe"] is True
    assert provider.error(target, 418, {}, b"").kind is ErrorKind.OVERLOADED
    assert provider.error(target, 400, {}, b'{"error":{"code":"tired"}}').kind is ErrorKind.RATE_LIMITED
    assert admission_of("ours", {"ours": own}) == Admission(counts_max_tokens=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("https://x", "write a table"),
        ({"bas_url": "x"}, 'no key "bas_url"; the nearest is "base_url"'),
        ({"base_url": "ftp://x"}, "write a URL"),
        ({"lacks": ["tool"]}, "tools"),
        ({"lacks": "tools"}, "a list of texts"),
        ({"endpoints": ["images"]}, "one of chat, embeddings, responses"),
        ({"max_tokens": "most"}, "max_completion_tokens"),
        ({"limits": "everyone"}, "one of azure"),
        ({"errors": {"498": "busy"}}, "rate_limited"),
        ({"errors": ["498"]}, "a table"),
        ({"parts": 1}, "true or false"),
        ({"most_stops": 0}, "at least 1"),
        ({"models": [{"prefix": "x"}]}, "a list of tables"),
        ({"finish": {"eos": 1}}, "a table of texts"),
        ({"admission": {"counts": True}}, "counts_max_tokens"),
        ({"admission": {"output_permille": "5"}}, "each of its kind"),
        ({"extra": []}, "a table"),
    ],
)
def test_a_preset_that_is_wrong_says_what_to_write(given, said):
    with pytest.raises(ConfigurationError, match="ours") as raised:
        parse_preset("ours", given)
    assert said in str(raised.value)


# ---- finding a provider


def test_a_path_that_leads_to_no_provider_says_so():
    for path, said in (("nowhere.at.All", "cannot be imported"), ("collections.OrderedDict", "no class of providers")):
        with pytest.raises(ConfigurationError, match=said):
            class_of("ours", {"ours": path})


@pytest.mark.parametrize(
    ("listed", "names"),
    [(b'{"data":[{"id":"b"},{"id":"a"}]}', ("a", "b")), (b'[{"id":"a"}]', ("a",)), (b"<html>", ()), (b'{"models":[]}', ())],
)
def test_the_names_of_models_are_found_in_a_list(listed, names):
    assert names_in_data(listed) == names
