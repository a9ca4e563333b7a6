"""What personal data looks like, what only looks like it, and where in a request it is looked for."""

import json

import pytest

from rateguard.engine.errors import ConfigurationError
from rateguard.screening.contract import Context, Refused
from rateguard.screening.patterns import KINDS, redacted
from rateguard.screening.personal_data import PersonalData
from rateguard.screening.size_guard import SizeGuard

ANYWHERE = Context(tenant_id=1, model="m", endpoint="chat")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ada.l+x@mail.ex-ample.co.uk!", "[email]!"),
        ("<ada@example.org>", "<[email]>"),
        ("4111 1111 1111 1111, 5500-0000-0000-0004, 378282246310005", "[card], [card], [card]"),
        ("IBAN DE89 3704 0044 0532 0130 00 AND GB82WEST12345698765432.", "IBAN [iban] AND [iban]."),
        ("BE68 5390 0754 7034 AND", "[iban] AND"),
        ("+49 30 901820, 0044 20 7946 0000, +1 (212) 555-0123", "[phone], [phone], [phone]"),
        ("(212) 555-0123 or 212-555-0123 or 030 901820", "[phone] or [phone] or [phone]"),
    ],
)
def test_what_has_the_form_and_the_check_digits_is_redacted(text, said):
    assert redacted(text, KINDS, "[{kind}]") == said


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112 and 1234567890123",
        "0000 0000 0000 0000",
        "on 2026-11-22 at 12:30-13:45, version 1.2.3.4, 1700000000000",
        "DE88 3704 0044 0532 0130 00",
        "@ada, a@b, f(x)@g, 3 + 1 234",
        "1,234,567.89 EUR; ISBN 978-3-16-148410-1",
    ],
)
def test_what_only_looks_like_it_stays(text):
    assert redacted(text, KINDS, "[{kind}]") == text


def test_a_long_text_takes_no_longer_than_its_length():
    for piece in ("a", "1 ", "+1", "A1", "@a.", "b.", "0-", "DE89 AAAA ", "(1)", "+1 2 3 "):
        redacted(piece * 20_000, KINDS, "-")


def test_texts_parts_tool_calls_and_inputs_are_looked_at_and_nothing_else_changes():
    image = {"type": "image_url", "image_url": {"url": "https://example.org/ada@example.org.png"}}
    call = {"id": "call_4111111111111111", "type": "function", "function": {"name": "pay", "arguments": '{"card": 4111111111111111}'}}
    request = {
        "model": "ada@example.org",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "I am ada@example.org"}, image]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_4111111111111111", "content": "paid by 4111 1111 1111 1111"},
        ],
        "temperature": 0,
    }
    made = PersonalData().before(request, ANYWHERE)
    first, second, third = made["messages"]
    assert first["content"] == [{"type": "text", "text": "I am [email]"}, image]
    assert json.loads(second["tool_calls"][0]["function"]["arguments"]) == {"card": "[card]"}
    assert (second["tool_calls"][0]["id"], third["tool_call_id"]) == (call["id"], call["id"])
    assert third["content"] == "paid by [card]"
    assert {name: made[name] for name in ("model", "temperature")} == {"model": "ada@example.org", "temperature": 0}
    assert PersonalData().before({"input": ["a@b.de", [1, 2]]}, ANYWHERE) == {"input": ["[email]", [1, 2]]}


def test_only_the_kinds_that_were_asked_for_written_as_asked_and_answers_where_asked():
    answer = {"choices": [{"message": {"role": "assistant", "content": "a@b.de +49 30 901820"}}]}
    said = PersonalData(["email"], written="<{kind}>").after(answer, {}, ANYWHERE)["choices"][0]["message"]["content"]
    assert said == "<email> +49 30 901820"
    assert PersonalData(answers=False).after(answer, {}, ANYWHERE) is answer
    with pytest.raises(ConfigurationError, match="not name"):
        PersonalData(["name"])


def test_what_is_too_large_is_refused_with_both_figures():
    guard = SizeGuard(100, messages=1, answer_bytes=50)
    guard.before({"messages": [{"role": "user", "content": "hi"}]}, ANYWHERE)
    with pytest.raises(Refused, match="bytes, and 100 may be"):
        guard.before({"messages": [{"role": "user", "content": "h" * 80}]}, ANYWHERE)
    with pytest.raises(Refused, match="2 messages, and 1 may be") as caught:
        guard.before({"messages": [{}, {}]}, ANYWHERE)
    assert caught.value.errors[0][0] == "/messages"
    with pytest.raises(Refused, match="ask for a shorter one"):
        guard.after({"choices": ["x" * 50]}, {}, ANYWHERE)
    with pytest.raises(ConfigurationError):
        SizeGuard(0)
