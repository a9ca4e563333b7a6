"""Token counts: exact against tiktoken, offline, linear."""

import asyncio
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

import pytest

from rateguard.engine import encodings, tokens

ROOT = pathlib.Path(__file__).parents[2]

ENGLISH = "Natalia sold clips to 48 of her friends in April, and then she didn't sell half as many clips in May. How many?\n\n"
CODE = "def f(x: int) -> str:\n    # a comment/with/slashes\n\treturn f'{x!r}' if x  >  0 else \"\"\r\n\r\n"
CHINESE = "你好，世界。这是一个测试，看看计数是否准确！我们在这里写一些没有空格的句子；"  # noqa: RUF001 - these are the characters meant
THAI = "กินข้าวหรือยัง ครับ วันนี้อากาศดี "
JSON = '{"a":[1,2,3],"b":{"c":"d/e//f","g":null}}\n'


def whole(text: str, encoding: str = encodings.O200K) -> int:
    return len(encodings.get_encoding(encoding).encode_ordinary(text))


@pytest.mark.parametrize("model", ["gpt-4o", "text-embedding-3-small"])
@pytest.mark.parametrize("sample", [ENGLISH, CODE, CHINESE, THAI, JSON])
def test_a_long_ordinary_text_counts_exactly_as_in_one_piece(sample: str, model: str):
    text = (sample * 1000)[:60_000]
    assert tokens.count_text(text, model) == whole(text, tokens.encoding_for(model))


def test_random_mixtures_of_ordinary_text_count_exactly_as_in_one_piece():
    rng = random.Random(7)
    words = [*ENGLISH.split(" "), *CODE.split(" "), CHINESE, "\n", "\n\n", "  ", "\t", "//", "!?", "12345", "é", "don't", "😀"]
    for _ in range(30):
        text = " ".join(rng.choice(words) for _ in range(3_000))
        for model in ("gpt-4o", "gpt-4"):
            assert tokens.count_text(text, model) == whole(text, tokens.encoding_for(model))


@pytest.mark.parametrize("unit", [" ", "a", "\n", "!", "กิ", "\t ", "中"])
def test_a_text_without_a_break_costs_by_its_length_and_no_more(unit: str):
    short, long = (unit * 100_000)[:100_000], (unit * 1_000_000)[:1_000_000]
    tokens.count_text("warm up", "gpt-4o")

    ratio = min(_cpu_seconds(long) for _ in range(3)) / min(_cpu_seconds(short) for _ in range(5))

    assert ratio <= 30  # ten times as long; by its square it would be a hundred


def _cpu_seconds(text: str) -> float:
    start = time.thread_time()
    assert tokens.count_text(text, "gpt-4o") > 0
    return time.thread_time() - start


def test_unknown_models_count_in_o200k():
    assert tokens.encoding_for("gpt-6.1-terra") == encodings.O200K
    assert tokens.encoding_for("anything") == encodings.O200K
    assert tokens.encoding_for("gpt-oss-120b") == encodings.O200K
    assert tokens.encoding_for("gpt-4-turbo") == encodings.CL100K


def test_special_tokens_in_a_text_are_counted_as_text():
    assert tokens.count_text("<|endoftext|>", "gpt-4o") == 7


def test_lone_surrogates_are_counted():
    assert tokens.count_text("a\ud800b", "gpt-4o") > 0


def test_a_chat_costs_three_and_three_a_message_and_its_texts():
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "name": "ann", "content": "Hello world"}]
    assert tokens.count_messages(messages, "gpt-4o") == 3 + (3 + 1 + 3) + (3 + 1 + 2 + whole("ann") + 1)


def test_text_parts_are_counted_and_an_image_is_reserved():
    parts = [{"type": "text", "text": "Hello world"}, {"type": "image_url", "image_url": {"url": "data:..."}}]
    assert tokens.count_messages([{"role": "user", "content": parts}], "gpt-4o") == 3 + 3 + 1 + 2 + 1600


def test_tools_and_tool_calls_are_counted():
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": "integer"}},
        "required": ["city"],
    }
    tool = {"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": schema}}
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
    plain = [{"role": "user", "content": "Hi"}]

    with_tools = tokens.count_messages(plain, "gpt-4o", [tool]) - tokens.count_messages(plain, "gpt-4o")
    with_call = tokens.count_messages([*plain, {"role": "assistant", "content": None, "tool_calls": [call]}], "gpt-4o")

    parameters = "// Where\ncity: string,\ndays?: number,"
    rendered = f"namespace functions {{\n\n// Tells it\ntype weather = (_: {{\n{parameters}\n}}) => any;\n\n}} // namespace functions"
    assert with_tools == whole(rendered) + 9
    assert with_call - tokens.count_messages(plain, "gpt-4o") == 3 + 1 + whole("weather") + whole('{"city":"Rome"}')


@pytest.mark.parametrize(
    ("value", "count"),
    [("Hello world", 2), (["Hello world", "Hello"], 3), ([1, 2, 3, 4], 4), ([[1, 2], [3]], 3), ("", 0)],
)
def test_embeddings_input_is_counted_in_each_of_its_shapes(value: object, count: int):
    assert tokens.count_input({"input": value}, "text-embedding-3-small") == count


async def test_a_large_chat_is_counted_off_the_event_loop():
    loop_thread = threading.get_ident()
    seen: list[int] = []

    class Message(dict[str, str]):
        def get(self, key, default=None):
            seen.append(threading.get_ident())
            return super().get(key, default)

    large = [Message(role="user", content=ENGLISH * 1000)]
    assert await tokens.count_messages_async(large, "gpt-4o") == await asyncio.to_thread(tokens.count_messages, large, "gpt-4o")
    assert seen
    assert loop_thread not in seen


def test_counting_works_offline_with_an_empty_read_only_home_and_loads_a_second_encoding_on_first_use(tmp_path: pathlib.Path):
    code = (
        "import socket\n"
        "def refuse(*a): raise OSError('no network here')\n"
        "socket.socket.connect = refuse\n"
        "from rateguard.engine import encodings, tokens\n"
        "assert tokens.count_text('Hello world', 'gpt-4o') == 2\n"
        "assert encodings.loaded_encodings() == {'o200k_base'}\n"
        "assert tokens.count_text('Hello world', 'gpt-4') == 2\n"
        "assert encodings.loaded_encodings() == {'o200k_base', 'cl100k_base'}\n"
    )
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    environment = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    subprocess.run([sys.executable, "-c", code], env=environment, cwd=home, check=True, timeout=60)

    assert list(home.iterdir()) == []


def test_threads_that_ask_at_once_get_one_encoding():
    found: list[object] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        found.append(encodings.get_encoding(encodings.CL100K))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(map(id, found))) == 1
