"""Whatever a body is made of, and however it comes, it is refused as a bad one with a word on what to do, and nothing is written."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import http.client
import json
import re
import socket
import uuid

import orjson
import pytest

from rateguard.jobs.models import Job
from tests.api import Api, problem_of
from tests.tenancy import CHAT_MODEL, acme  # noqa: F401
from tests.webprocess import start_web  # noqa: F401

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
TEXT = orjson.dumps(HELLO).decode()


def beside(rest):
    """A good body with something beside it."""
    return f"{TEXT[:-1]}, {rest}}}".encode()


def within(field, value):
    """A good body whose object `job` has this field."""
    return beside(f'"job": {{"{field}": {value}}}')


DEEP = {levels: ("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels) for levels in (1_000, 100_000)}
DIGITS = "1" * 4_300

BODIES = {
    "nothing": (b" ", "invalid_json", [""]),
    "cut off": (TEXT[:-1].encode(), "invalid_json", [""]),
    "something after it": (f"{TEXT} {TEXT}".encode(), "invalid_json", [""]),
    "a comment": (f"{TEXT} // hello".encode(), "invalid_json", [""]),
    "single quotes": (TEXT.replace('"', "'").encode(), "invalid_json", [""]),
    "a byte order mark": (b"\xef\xbb\xbf" + TEXT.encode(), "invalid_json", [""]),
    "utf-16": (TEXT.encode("utf-16"), "invalid_json", [""]),
    "utf-16 without its mark": (TEXT.encode("utf-16-le"), "invalid_json", [""]),
    "utf-32": (TEXT.encode("utf-32"), "invalid_json", [""]),
    "latin-1": (TEXT.replace("Hello", "Grüße").encode("latin-1"), "invalid_json", [""]),
    "a raw surrogate": (TEXT.encode().replace(b"Hello", b"\xed\xa0\x80"), "invalid_json", [""]),
    "half a surrogate pair": (TEXT.replace("Hello", "\\ud800").encode(), "invalid_json", [""]),
    "a raw NUL": (TEXT.replace("Hello", "\0").encode(), "invalid_json", [""]),
    "a NUL": (TEXT.replace("Hello", "a\\u0000b").encode(), "invalid_field", ["/messages/0/content"]),
    "a NUL in a name": (beside('"a\\u0000b": 1'), "invalid_field", [""]),
    "a NUL in the model": (TEXT.replace(CHAT_MODEL, "a\\u0000").encode(), "invalid_field", ["/model"]),
    "not a number": (beside('"seed": NaN'), "invalid_json", [""]),
    "infinity": (beside('"seed": -Infinity'), "invalid_json", [""]),
    "a number beyond doubles": (beside('"temperature": 1e400'), "invalid_json", [""]),
    "a whole number of 4,300 digits": (beside(f'"seed": {DIGITS}'), "invalid_json", [""]),
    "a whole number of 4,301 digits": (beside(f'"seed": -{DIGITS}1'), "invalid_json", [""]),
    "65 bits": (beside(f'"seed": [1, {2**64}]'), "invalid_json", ["/seed/1"]),
    "65 bits below zero": (within("metadata", f'{{"a/b": {-(2**63) - 1}}}'), "invalid_json", ["/job/metadata/a~1b"]),
    "65 bits where a number is read": (within("max_tries", "1" * 30), "invalid_json", ["/job/max_tries"]),
    "a name that stands twice": (beside('"max_tokens": 30'), "invalid_json", ["/max_tokens"]),
    "names that stand twice inside": (
        within("labels", '{"a": "1", "a": "1"}, "user": "u", "user": "v"'),
        "invalid_json",
        ["/job/user", "/job/labels/a"],
    ),
    "a text": (b'"hello"', "invalid_field", [""]),
    "a number": (b"1e5", "invalid_field", [""]),
    "a float for a whole number": (TEXT.replace("20", "20.0").encode(), "invalid_field", ["/max_tokens"]),
    "an endless text for a name": (within("user", json.dumps("x" * 1_000_000)), "invalid_field", ["/job/user"]),
    "an endless field name": (beside('"job": ' + json.dumps({"x" * 1_000_000: 1})), "unknown_field", ["/job/" + "x" * 100]),
    "a thousand unknown fields": (
        beside('"job": ' + json.dumps({f"x{n}": 1 for n in range(1_000)})),
        "unknown_field",
        None,
    ),
    "a list of a million nothings": (b'{"model": "m", "messages": [' + b"0," * 999_999 + b"0]}", "invalid_field", None),
}
for levels, (lists, objects) in DEEP.items():
    code = "too_deep" if levels == 1_000 else "invalid_json"
    BODIES[f"lists {levels} deep"] = (beside(f'"x": {lists}'), code, [""])
    BODIES[f"objects {levels} deep"] = (beside(f'"x": {objects}'), code, [""])
    BODIES[f"metadata {levels} deep"] = (within("metadata", objects), code, None)


@pytest.mark.django_db
class TestBodies:
    @pytest.mark.parametrize(("body", "code", "pointers"), BODIES.values(), ids=BODIES)
    def test_a_hostile_body_is_refused_at_its_place(self, acme, body, code, pointers):
        problem = problem_of(Api(acme.secret).submit(body), 400, code)
        assert problem["detail"]
        assert pointers is None or sorted(error["pointer"] for error in problem["errors"]) == sorted(pointers)
        assert len(orjson.dumps(problem)) < 20_000
        assert not Job.objects.exists()

    def test_so_is_any_small_body(self, acme):
        bodies = [b" ", b"{", b"[]", beside('"x": 1'), b'{"deadline": 1e400}', b'{"deadline": "\\u0000"}', *map(str.encode, DEEP[100_000])]
        for path in ("/api/v1/runs", "/api/v1/pauses", f"/api/v1/jobs/{uuid.uuid4()}/retry"):
            for body in bodies:
                response = Api(acme.secret).send("post", path, body)
                assert response.status_code in {400, 404}, (path, body[:50], response.content)
                assert response.headers["Content-Type"] == "application/problem+json"

    def test_numbers_that_a_database_and_json_can_hold_are_taken(self, acme):
        for value in ("2" * 19 + "e0", "18446744073709551615", "-9223372036854775808", "1e308", "0.1", "-0"):
            body = beside(f'"seed": {value}, "job": {{"metadata": {{"a": {value}}}}}')
            job = Job.objects.get(pk=Api(acme.secret).submit(body).json()["id"])
            assert orjson.loads(job.request)["seed"] == json.loads(value)

    def test_texts_of_any_other_character_are_taken(self, acme):
        for text in ("\U0001f600", "\ufffe", "\ud7ff", "\x01\x7f", "\u2028"):
            body = {**HELLO, "messages": [{"role": "user", "content": text}], "job": {"labels": {"a": text}, "metadata": {text: text}}}
            job = Api(acme.secret).submit(body).json()
            assert (job["labels"], job["metadata"]) == ({"a": text}, {text: text})

    def test_what_says_that_it_is_written_otherwise_is_unsupported(self, acme):
        kinds = ["application/json; charset=utf-16", 'application/json; charset="latin-1"', "application/jsonx", "text/json"]
        for kind, headers in [*((kind, {}) for kind in kinds), ("application/json", {"Content-Encoding": "gzip"})]:
            problem_of(Api(acme.secret).send("post", "/api/v1/jobs", TEXT.encode(), kind, **headers), 415, "unsupported_media_type")
        assert Api(acme.secret).send("post", "/api/v1/jobs", TEXT.encode(), "Application/JSON; Charset=UTF-8").status_code == 202

    def test_a_header_that_cannot_be_kept_is_refused(self, acme):
        for header in ("Idempotency-Key", "Rateguard-Run"):
            for value in ("\0", "ä", "x\x7f", " ", "x" * 10_000):
                problem_of(Api(acme.secret).submit(HELLO, **{header: value}), 400, "invalid_header")
        assert not Job.objects.exists()

    def test_a_preference_that_cannot_be_read_is_passed_over(self, acme):
        for value in ("\0", "wait=ä", "wait=" + "9" * 5_000, "handling=strict, wait=" + "9" * 10, "wait=-1", ',;="'):
            assert Api(acme.secret).submit(HELLO, Prefer=value).status_code == 202, value


def sent(web, customer, head="", body=b"", first=b"POST /api/v1/jobs", *, is_cut_off=False):
    """Send these bytes as a request; the status that comes back, 0 where none does. is_cut_off: then leave."""
    lines = (
        f"Authorization: Bearer {customer.secret}\r\nContent-Type: application/json\r\nHost: 127.0.0.1\r\nConnection: close\r\n{head}\r\n"
    )
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as connection:
        connection.sendall(first + b" HTTP/1.1\r\n" + lines.encode("latin-1") + body)
        if is_cut_off:
            connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    status = re.match(rb"HTTP/1.1 (\d+)", answer)
    return int(status[1]) if status else 0


LENGTH = f"Content-Length: {len(TEXT)}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
FRAMES = {
    "a length too short": ("Content-Length: 10\r\n", TEXT.encode()),
    "a length too long": ("Content-Length: 9999\r\n", TEXT.encode()),
    "a length below zero": ("Content-Length: -1\r\n", TEXT.encode()),
    "a length of 30 digits": (f"Content-Length: {10**30}\r\n", TEXT.encode()),
    "a length in words": ("Content-Length: many\r\n", TEXT.encode()),
    "two lengths": (f"{LENGTH}Content-Length: 5\r\n", TEXT.encode()),
    "a length and chunks": (LENGTH + CHUNKED, b"0\r\n\r\n"),
    "a chunk without a length": (CHUNKED, b"zz\r\n"),
    "a chunk cut off": (CHUNKED, b"5\r\nab"),
    "no end of chunks": (CHUNKED, f"{len(TEXT):x}\r\n{TEXT}\r\n".encode()),
    "no length": ("", TEXT.encode()),
    "a NUL in a header": (f"Idempotency-Key: a\0b\r\n{LENGTH}", TEXT.encode()),
    "a header without a name": (f": b\r\n{LENGTH}", TEXT.encode()),
}
CUT_OFF = {"a length too long", "a chunk cut off", "no end of chunks"}
LINES = [
    b"POST /api/v1/jobs/\0",
    b"POST /api/v1/jobs?\xff=1",
    b"GET /api/v1/jobs?user=%00",
    b"GET /api/v1/jobs/%00",
    b"GET /api/v1/jobs/" + b"a" * 50_000,
]


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_whatever_bytes_come_over_the_wire_are_refused_and_the_process_goes_on(start_web, acme):
    web = start_web()
    seen = {name: sent(web, acme, head, body, is_cut_off=name in CUT_OFF) for name, (head, body) in FRAMES.items()}
    assert set(seen.values()) <= {0, 400, 415}, seen
    assert {sent(web, acme, first=line) for line in LINES} <= {400, 404}
    assert not Job.objects.exists()
    assert sent(web, acme, LENGTH, TEXT.encode()) == 202
    assert '"level":"error"' not in web.log.read_text()


def chunks(count, size=1_000_000):
    return iter([b" " * size] * count)


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_a_body_over_the_bound_is_refused_with_a_word_however_it_comes_and_an_endless_one_is_cut_off(start_web, acme):
    web = start_web()
    headers = {"Authorization": f"Bearer {acme.secret}", "Content-Type": "application/json"}
    for body in (b" " * 10_000_000, chunks(10), chunks(40)):
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
        connection.request("POST", "/api/v1/jobs", body, headers)
        response = connection.getresponse()
        problem = orjson.loads(response.read())
        assert (response.status, problem["code"]) == (413, "body_too_large")
        assert problem["request_id"] == response.headers["X-Request-ID"]
        connection.request("GET", "/api/v1/jobs", headers=headers)  # the line is as good as before
        assert connection.getresponse().status == 200
        connection.close()
    assert sent(web, acme, f"Content-Length: {10**12}\r\n", b" " * 1_000) == 413
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
    with pytest.raises(OSError):  # cut off while it sends, in whichever way
        connection.request("POST", "/api/v1/jobs", chunks(400), headers)
    connection.close()
    assert not Job.objects.exists()
