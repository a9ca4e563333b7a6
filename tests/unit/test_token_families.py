"""Counts by families of models, and of what is no text."""

import base64
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rateguard.engine.tokens import count_input, count_output, count_text
from rateguard.engine.tokens.attachments import FILE_PAGES, tokens_of_part
from rateguard.engine.tokens.families import GEMINI, NEW_CLAUDE, OPENAI, family_of
from rateguard.engine.tokens.images import UNKNOWN_TOKENS, size_of, tokens_of

ENGLISH = "The quick brown fox jumps over the lazy dog. " * 20
CHINESE = "你好世界这是一个测试看看计数是否准确" * 20


def chat(content, **more):
    return {"messages": [{"role": "user", "content": content}], **more}


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("openai", "gpt-5.4-mini", "openai"),
        ("openai", "o3", "openai"),
        ("azure", "our-deployment", "openai"),
        ("openrouter", "openai/o3", "openai"),
        ("anthropic", "claude-3-5-sonnet-20241022", "claude"),
        ("anthropic", "claude-opus-4-20250514", "claude"),
        ("anthropic", "claude-sonnet-4-6", "claude"),
        ("anthropic", "claude-opus-4-7", "claude from 4.7 on"),
        ("bedrock", "eu.anthropic.claude-sonnet-5", "claude from 4.7 on"),
        ("vertex", "claude-haiku-4-5@20251001", "claude"),
        ("anthropic", "claude-next", "claude from 4.7 on"),
        ("vertex", "gemini-3.5-flash", "gemini"),
        ("groq", "llama-3.3-70b", "llama"),
        ("together", "moonshotai/Kimi-K3", "qwen"),
        ("mistral", "codestral-latest", "mistral"),
        ("fireworks", "accounts/fireworks/models/deepseek-v4-pro", "deepseek"),
        ("xai", "grok-4.7", "unknown"),
    ],
)
def test_a_family_is_known_by_the_models_name_wherever_it_is_served(provider, model, name):
    assert family_of(provider, model).name == name


@pytest.mark.parametrize(
    ("provider", "model", "latin", "other"),
    [("openai", "gpt-5.4", 1_000, 1_000), ("anthropic", "claude-sonnet-4-6", 1_150, 1_500), ("groq", "llama-3.3-70b", 1_050, 1_300)],
)
def test_a_count_is_openais_by_the_familys_factor_for_the_script(provider, model, latin, other):
    for text, permille in ((ENGLISH, latin), (CHINESE, other)):
        assert count_output(text, model, provider) == -(-count_text(text, "gpt-5.4") * permille // 1_000)


@settings(max_examples=40)
@given(st.text(max_size=300))
def test_a_mixed_text_counts_between_the_two_scripts(text):
    found, plain = count_output(text, "claude-sonnet-4-6", "anthropic"), count_text(text, "claude-sonnet-4-6")
    assert -(-plain * 1_150 // 1_000) <= found <= -(-plain * 1_500 // 1_000)


def test_tools_cost_what_their_provider_puts_beside_them():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}]
    added = {
        (provider, model): count_input(chat("hi", tools=tools), model, provider) - count_input(chat("hi"), model, provider)
        for provider, model in (("openai", "gpt-5.4"), ("anthropic", "claude-opus-5"), ("gemini", "gemini-2.5-pro"))
    }
    assert 15 < added["openai", "gpt-5.4"] < 40
    assert 346 < added["anthropic", "claude-opus-5"] < 450
    assert 25 < added["gemini", "gemini-2.5-pro"] < 60


# ---- images


def url(content, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def png(width, height):
    return url(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\0" * 40)


def gif(width, height):
    return url(b"GIF89a" + struct.pack("<HH", width, height) + b"\0" * 40, "gif")


def jpeg(width, height, before=100):
    application = b"\xff\xe1" + struct.pack(">H", before + 2) + b"x" * before
    return url(b"\xff\xd8" + application + b"\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width) + b"\0" * 40, "jpeg")


def webp(kind, body):
    return url(b"RIFF" + b"\0" * 4 + b"WEBP" + kind + b"\0" * 4 + body + b"\0" * 40, "webp")


def webp_large(width, height):
    return webp(b"VP8X", b"\0" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


def webp_lossless(width, height):
    return webp(b"VP8L", b"\x2f" + (width - 1 | (height - 1) << 14).to_bytes(4, "little"))


def webp_lossy(width, height):
    return webp(b"VP8 ", b"\0" * 3 + b"\x9d\x01\x2a" + struct.pack("<HH", width, height))


@pytest.mark.parametrize("make", [png, gif, jpeg, webp_large, webp_lossless, webp_lossy])
def test_the_size_of_an_image_is_read_from_its_first_bytes(make):
    assert [size_of(make(*size)) for size in ((1, 2), (640, 480), (4_000, 3_000))] == [(1, 2), (640, 480), (4_000, 3_000)]


def test_the_size_of_a_photograph_lies_behind_what_its_camera_says():
    assert size_of(jpeg(4_032, 3_024, before=60_000)) == (4_032, 3_024)


@settings(max_examples=60)
@given(st.sampled_from([png, gif, jpeg, webp_lossy]), st.integers(0, 120), st.binary(max_size=4))
def test_what_is_cut_or_broken_has_no_size_and_breaks_nothing(make, length, spoiled):
    found = size_of(make(640, 480)[: 20 + length] + spoiled.hex())
    assert found is None or (len(found) == 2 and all(side > 0 for side in found))


@pytest.mark.parametrize("address", ["https://example.org/a.png", "data:image/png,plain", "", "data:", "data:image/png;base64,"])
def test_what_is_no_image_in_the_request_has_no_size(address):
    assert size_of(address) is None


@pytest.mark.parametrize(
    ("provider", "model", "size", "detail", "tokens"),
    [
        ("openai", "gpt-4o", (512, 512), "high", 85 + 170),
        ("openai", "gpt-4o", (2_048, 4_096), "high", 85 + 6 * 170),
        ("openai", "gpt-4o", (4_096, 4_096), "low", 85),
        ("openai", "gpt-4o-mini", (1_024, 1_024), "auto", 2_833 + 4 * 5_667),
        ("openai", "gpt-5", (512, 512), "auto", 70 + 140),
        ("openai", "gpt-4.1-mini", (320, 320), "auto", 162),
        ("openai", "gpt-5.5", (1_000, 1_000), "auto", 1_229),
        ("openai", "gpt-5.5", (6_000, 6_000), "auto", 12_000),
        ("openai", "gpt-5.5", (6_000, 6_000), "high", 3_000),
        ("anthropic", "claude-sonnet-4-6", (560, 560), "auto", 400),
        ("anthropic", "claude-sonnet-4-6", (8_000, 8_000), "auto", 1_568),
        ("anthropic", "claude-opus-5", (8_000, 8_000), "auto", 4_784),
        ("gemini", "gemini-2.5-pro", (384, 384), "auto", 258),
        ("gemini", "gemini-2.5-pro", (1_000, 500), "auto", 516),
        ("groq", "llama-4", (500, 500), "auto", UNKNOWN_TOKENS),
        ("openai", "gpt-5.5", None, "auto", UNKNOWN_TOKENS),
    ],
)
def test_an_image_costs_what_its_models_rule_says(provider, model, size, detail, tokens):
    family = family_of(provider, model)
    assert tokens_of(family.images, model, size, detail) == tokens
    if size:
        part = {"type": "image_url", "image_url": {"url": png(*size), "detail": detail}}
        assert tokens_of_part(part, family, model) == tokens


# ---- sounds and files


def test_a_sound_costs_by_its_seconds():
    second = 16_000 * 2
    wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0" + struct.pack("<II", 16_000, second) + b"\x02\0\x10\0" + b"\0" * (10 * second)
    part = {"type": "input_audio", "input_audio": {"format": "wav", "data": base64.b64encode(wav).decode()}}
    assert tokens_of_part(part, GEMINI, "gemini-2.5-pro") == 11 * 32  # ten seconds, and what is left of another
    mp3 = {"type": "input_audio", "input_audio": {"format": "mp3", "data": base64.b64encode(b"\xff\xfb" + b"\0" * 40_000).decode()}}
    assert tokens_of_part(mp3, OPENAI, "gpt-audio") == 6 * 10


def test_a_pdf_costs_by_its_pages_and_one_that_is_elsewhere_a_usual_number():
    pdf = b"%PDF-1.7 " + b"<< /Type /Page >> << /Type /Pages >> " * 3
    inside = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{base64.b64encode(pdf).decode()}"}}
    outside = {"type": "file", "file": {"file_id": "file-1"}}
    a_page = tokens_of_part(outside, NEW_CLAUDE, "claude-opus-5") // FILE_PAGES
    assert tokens_of_part(inside, NEW_CLAUDE, "claude-opus-5") == 3 * a_page
    assert a_page == 1_500 * 1.5 + 45 * 63


# ---- responses


def test_a_body_of_responses_counts_its_instructions_items_and_tools():
    plain = count_input({"input": "hello there"}, "gpt-5.4")
    told = count_input({"input": "hello there", "instructions": "Be brief."}, "gpt-5.4")
    items = count_input({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hello there"}]}]}, "gpt-5.4")
    assert (plain, items) == (2, 2 + 3 + 3 + 1)
    assert told == items + 3 + 1 + 3
    call = {"type": "function_call", "name": "look", "arguments": '{"a": 1}', "call_id": "c"}
    assert count_input({"input": [call]}, "gpt-5.4") > 6
