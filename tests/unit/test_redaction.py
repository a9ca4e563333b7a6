import io
import json
import logging

import pytest
import structlog

from rateguard.telemetry.logs import StderrHandler, configure_logging, formatter
from rateguard.telemetry.redact import REDACTED, redact

OURS = "rg_abcdefghijklmnopqrstuvwxyz0123456789ABCD"
THEIRS = "sk-proj-abcdefghijklmnop"


@pytest.fixture(params=[False, True], ids=["json", "terminal"])
def lines(request):
    """What the root logger writes, in either form."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(is_terminal=request.param))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def json_lines():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(is_terminal=False))
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


def fail_with(text):
    content = f"kept in a {'local'} variable"
    raise ValueError(text, len(content))


@pytest.mark.parametrize("secret", [OURS, THEIRS])
def test_a_secret_is_in_no_line_wherever_it_hides(lines, secret):
    log = structlog.get_logger("rateguard.test")
    log.warning("key %s", secret, note=f"Bearer {secret}", nested={"list": [secret, {"deep": secret}]}, api_key="x-" + secret)
    logging.getLogger("celery.test").warning("connecting with %s", secret, extra={"header": secret})
    try:
        fail_with(f"401 for {secret}")
    except ValueError:
        log.exception("first failure")
        logging.getLogger("uvicorn.error").exception("second failure")
    assert all(word in lines.getvalue() for word in ("connecting with", "first failure", "second failure", "ValueError"))
    assert secret[4:] not in lines.getvalue()


def test_a_prompt_is_in_no_line(lines):
    prompt = "tell me a story"
    structlog.get_logger("rateguard.test").warning("x", body=prompt, messages=[prompt], prompt=prompt, input=prompt, job={"body": prompt})
    try:
        fail_with("bad")
    except ValueError:
        structlog.get_logger("rateguard.test").exception("failed")
    assert prompt not in lines.getvalue()
    assert "kept in a local variable" not in lines.getvalue()


def test_counts_of_tokens_are_no_secrets():
    assert redact({"input_tokens": 5, "max_tokens": 7, "token": "abc"}) == {"input_tokens": 5, "max_tokens": 7, "token": REDACTED}


def test_a_password_inside_a_url_is_hidden():
    assert redact("redis://user:hunter2@host:6379/0") == f"redis://{REDACTED}@host:6379/0"


def test_a_line_carries_what_is_bound_to_its_context(json_lines):
    with structlog.contextvars.bound_contextvars(job_id="j1", attempt=2, tenant="acme"):
        structlog.get_logger("rateguard.test").warning("job settled", cost_nano_usd=750)
        logging.getLogger("celery.test").warning("from a library")
    ours, theirs = json_lines()
    assert (
        ours.items()
        >= {"event": "job settled", "job_id": "j1", "attempt": 2, "tenant": "acme", "cost_nano_usd": 750, "level": "warning"}.items()
    )
    assert theirs.items() >= {"event": "from a library", "job_id": "j1", "logger": "celery.test"}.items()


def test_what_json_cannot_write_is_written_as_text(json_lines):
    structlog.get_logger("rateguard.test").warning("odd", value=object(), huge=2**80, keys={1: b"raw"})
    assert len(json_lines()) == 1


def test_a_line_that_cannot_be_formatted_shows_none_of_its_values(capsys):
    stream = io.StringIO()
    record = logging.LogRecord("x", logging.INFO, "place.py", 7, "%d", ("a prompt",), None)
    handler = StderrHandler(stream)
    handler.setFormatter(formatter(is_terminal=False))
    handler.handle(record)
    assert "place.py:7" in stream.getvalue()
    assert "a prompt" not in stream.getvalue() + capsys.readouterr().err


def test_configuring_again_leaves_one_handler():
    root = logging.getLogger()
    before = root.handlers[:]
    try:
        configure_logging({"level": "WARNING"})
        configure_logging({"level": "WARNING"})
        assert len(root.handlers) == 1
    finally:
        root.handlers[:] = before
