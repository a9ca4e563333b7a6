"""Any list of messages becomes a talk that Anthropic takes, or is refused by its field: never a crash, and nothing said is lost."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.anthropic.messages import Talk
from tests.dialects.cases import PIXEL

PDF = "data:application/pdf;base64,JVBERi0="
MARK = {"type": "ephemeral"}


def turns_of(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return Talk(messages).turns


def refused_at(*messages: Any) -> str:
    with pytest.raises(InvalidRequest) as raised:
        Talk(messages)
    return raised.value.pointer


def user(content: Any = "Hello", **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def calls(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [_call(one) for one in ids]}


def _call(call_id: str, arguments: str = '{"city":"Oslo"}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def result(call_id: str, content: Any = "rain", **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **fields}


def part(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **fields}


def file(data: str, **fields: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, **fields}}


def image(url: str, **fields: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def test_neighbours_of_one_role_become_one_turn():
    assert turns_of(user("a"), user([part("b"), part("c", cache_control=MARK)]), {"role": "assistant", "content": "d"}) == [
        {"role": "user", "content": [part("a"), part("b"), part("c", cache_control=MARK)]},
        {"role": "assistant", "content": [part("d")]},
    ]


def test_system_messages_stand_in_front_wherever_they_stood():
    talk = Talk([{"role": "system", "content": "a", "cache_control": MARK}, user(), {"role": "developer", "content": [part("b")]}])
    assert talk.system == [part("a", cache_control=MARK), part("b")]
    assert refused_at({"role": "system", "content": [image(PIXEL)]}, user()) == "/messages/0/content"


def test_results_open_the_users_turn_in_whatever_order_they_came():
    _, _, turn = turns_of(user(), calls("1", "2"), result("2", "sun"), user("So?"), result("1", is_error=True, cache_control=MARK))
    assert turn["content"] == [
        {"type": "tool_result", "tool_use_id": "2", "content": [part("sun")]},
        {"type": "tool_result", "tool_use_id": "1", "content": [part("rain")], "is_error": True, "cache_control": MARK},
        part("So?"),
    ]


def test_a_result_may_hold_images_or_nothing():
    _, _, turn = turns_of(user(), calls("1", "2"), result("1", [part("seen"), image(PIXEL)]), result("2", ""))
    seen, nothing = turn["content"]
    assert [block["type"] for block in seen["content"]] == ["text", "image"]
    assert nothing == {"type": "tool_result", "tool_use_id": "2"}


@pytest.mark.parametrize(
    ("messages", "pointer"),
    [
        ([], "/messages"),
        ([user("  ")], "/messages"),
        ([{"role": "assistant", "content": "a"}, user()], "/messages"),
        ([user(), calls("1")], "/messages/1/tool_calls/0"),
        ([user(), calls("1", "2"), result("1"), {"role": "assistant", "content": "a"}], "/messages/1/tool_calls/1"),
        ([user(), calls("1", "1"), result("1")], "/messages/1/tool_calls/1/id"),
        ([user(), result("1")], "/messages/1/tool_call_id"),
        ([user(), calls("1"), result("1"), result("1")], "/messages/3/tool_call_id"),
        ([user(), {"role": "assistant", "tool_calls": [_call("1", "[1]")]}], "/messages/1/tool_calls/0/function/arguments"),
        ([user(), {"role": "assistant", "tool_calls": [_call("1", "{")]}], "/messages/1/tool_calls/0/function/arguments"),
        ([user(), {"role": "function", "name": "f", "content": "a"}], "/messages/1/role"),
        ([user(name="Ada")], "/messages/0/name"),
        ([user(7)], "/messages/0/content"),
        ([7], "/messages/0"),
        ([user([part("a"), {"type": "video"}])], "/messages/0/content/1/type"),
        ([user([image("data:image/bmp;base64,AA==")])], "/messages/0/content/0/image_url/url"),
        ([user([image("picture.png")])], "/messages/0/content/0/image_url/url"),
        ([user([image(PIXEL, detail="low")])], "/messages/0/content/0/image_url/detail"),
        ([user([file("data:application/zip;base64,AA==")])], "/messages/0/content/0/file/file_data"),
        ([user([file("data:text/plain;base64,//79")])], "/messages/0/content/0/file/file_data"),
        ([user([part("a", cache_control="always")])], "/messages/0/content/0/cache_control"),
    ],
)
def test_what_is_no_talk_is_refused_by_its_place(messages, pointer):
    assert refused_at(*messages) == pointer


def test_images_and_files_are_sent_as_data_or_fetched():
    parts = [
        image(PIXEL),
        image("https://a.example/b.png", detail="auto"),
        file(PDF, filename="a.pdf"),
        file("data:text/plain;charset=utf-8;base64,WsO8cmljaA=="),
        file("https://a.example/b.pdf"),
        {"type": "file", "file": {"file_id": "file_1"}},
        file(PIXEL),
    ]
    blocks = turns_of(user(parts))[0]["content"]
    data = PIXEL.partition(",")[2]
    assert [block["source"] for block in blocks] == [
        {"type": "base64", "media_type": "image/png", "data": data},
        {"type": "url", "url": "https://a.example/b.png"},
        {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        {"type": "text", "media_type": "text/plain", "data": "Zürich"},
        {"type": "url", "url": "https://a.example/b.pdf"},
        {"type": "file", "file_id": "file_1"},
        {"type": "base64", "media_type": "image/png", "data": data},
    ]
    assert blocks[2]["title"] == "a.pdf"


def test_white_space_alone_is_no_block_and_parts_no_words():
    assert turns_of(user([part(" "), part("a"), part("\n"), part("b")]))[0]["content"] == [part("a\n"), part("b")]
    assert turns_of(user("a"), {"role": "assistant", "content": ""}, user("b")) == [{"role": "user", "content": [part("a"), part("b")]}]


def test_ids_of_another_provider_stay_the_same_for_a_call_and_its_result():
    _, turn, answer = turns_of(user(), calls("call|1.a"), result("call|1.a"))
    assert turn["content"][0]["id"] == answer["content"][0]["tool_use_id"] == "call_7c_1_2e_a"


def test_a_call_without_arguments_has_an_empty_input():
    for arguments in ("", " ", "{}"):
        _, turn, _ = turns_of(user(), {"role": "assistant", "tool_calls": [_call("1", arguments)]}, result("1"))
        assert turn["content"][0]["input"] == {}


def test_an_id_that_a_talk_uses_again_is_another_one_there():
    _, first, one, second, two = turns_of(user(), calls("1"), result("1"), calls("1"), result("1"))
    assert first["content"][0]["id"] == one["content"][0]["tool_use_id"] == "1"
    assert second["content"][0]["id"] == two["content"][0]["tool_use_id"] == "1_2"


# ---- any list of messages

TEXTS = st.sampled_from(["", " ", "\n\t", "Hello", "Grüße, 你好", "a "])
IDS = st.sampled_from(["1", "2", "3", "x|y"])
CONTENT = (
    TEXTS
    | st.none()
    | st.lists(TEXTS.map(part) | st.sampled_from([image(PIXEL), file(PDF), {"type": "refusal", "refusal": "No."}]), max_size=3)
)
PLACES = st.sampled_from(
    [{"type": "text", "chars": 2}, {"type": "tool_use"}, {"type": "thinking", "thinking": "", "signature": "E"}, {"type": "text"}]
)
MESSAGE = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "user", "system", "developer"]), CONTENT),
    st.builds(
        lambda content, ids, places: {
            "role": "assistant",
            "content": content,
            **({"tool_calls": [_call(one) for one in ids]} if ids else {}),
            **({"provider_fields": {"anthropic": {"blocks": places}}} if places else {}),
        },
        TEXTS,
        st.lists(IDS, max_size=3, unique=True),
        st.lists(PLACES, max_size=4),
    ),
    st.builds(result, IDS, CONTENT),
)


def answered(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with one result behind each call, so that more of them are talks."""
    whole: list[dict[str, Any]] = [user()]
    for message in messages:
        whole += [message] if message["role"] != "tool" else []
        whole += [result(one["id"]) for one in reversed(message.get("tool_calls", ()))]
    return whole


def check_turns(talk: Talk) -> None:
    roles = [turn["role"] for turn in talk.turns]
    assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
    asked: list[str] = []
    ids: list[str] = []
    for turn in talk.turns:
        assert turn["content"]
        kinds = [block["type"] for block in turn["content"]]
        results = [block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"]
        assert kinds[: len(results)] == ["tool_result"] * len(results)
        assert sorted(results) == sorted(asked)
        asked = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        ids += asked
    assert not asked
    assert len(set(ids)) == len(ids)
    for block in [*talk.system, *(block for turn in talk.turns for block in turn["content"])]:
        assert block["type"] != "text" or block["text"].strip()


def words_of(messages: list[dict[str, Any]]) -> list[str]:
    """What is said, without white space: each text's words."""
    texts = []
    for message in messages:
        content = message.get("content") or ""
        parts = [part(content)] if isinstance(content, str) else content
        texts += [one.get("text") or one.get("refusal") or "" for one in parts]
    return sorted(word for text in texts for word in text.split())


@given(st.lists(MESSAGE, max_size=8).flatmap(lambda messages: st.sampled_from([messages, answered(messages), answered(messages)])))
def test_any_messages_are_a_talk_that_anthropic_takes_or_a_clear_refusal(messages: list[dict[str, Any]]):
    before = orjson.dumps(messages)
    try:
        talk = Talk(messages)
    except InvalidRequest as refusal:
        event("refused")
        assert refusal.pointer.startswith("/messages")  # noqa: PT017 - some lists are refused, some are not
        return
    finally:
        assert orjson.dumps(messages) == before
    event("taken")
    check_turns(talk)
    blocks = [*talk.system, *(block for turn in talk.turns for block in turn["content"])]
    inner = [*blocks, *(one for block in blocks for one in block.get("content", ()))]
    said = "".join(sorted("".join(block["text"].split()) for block in inner if block["type"] == "text"))
    assert sorted(said) == sorted("".join(words_of(messages)))


NAMES = ["role", "content", "type", "text", "tool_calls", "id", "function", "image_url", "file", "provider_fields", "anthropic", "blocks"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
SPEAKERS = st.builds(
    lambda role, rest: {**rest, "role": role},
    st.sampled_from(["user", "assistant", "tool", "system"]),
    st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=4),
)


@given(st.lists(ANYTHING | SPEAKERS, max_size=3))
def test_nonsense_is_refused_and_never_crashes(messages: list[Any]):
    try:
        Talk(messages)
    except InvalidRequest as refusal:
        assert refusal.pointer.startswith("/messages")  # noqa: PT017 - nearly all are refused
