"""The simulated provider's log on disk: what a witness must still say after its own kill -9."""

import http.client
import json
import time

import pytest

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.log_file import read_log
from rateguard.engine.providers.sim.process import start_simprovider
from tests.simprovider import wait_for


@pytest.fixture
def witness(tmp_path):
    handle = start_simprovider(log=tmp_path / "log.jsonl")
    yield handle
    handle.stop()


def send(witness, attempt, **fields):
    """A chat on a connection of its own, sent and not yet answered."""
    connection = http.client.HTTPConnection(witness.url.removeprefix("http://"), timeout=10)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20, **fields}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"X-Client-Request-Id": attempt, "Authorization": "Bearer sk"})
    return connection


def ask(witness, attempt, **fields):
    connection = send(witness, attempt, **fields)
    try:
        connection.getresponse().read()
    finally:
        connection.close()


def test_the_log_holds_the_bill_also_of_calls_that_the_provider_did_not_live_to_answer(witness):
    began_at = time.monotonic()
    ask(witness, "answered.1")
    ask(witness, "streamed.1", stream=True)
    witness.control.add_faults(Fault(FaultKind.SERVER_ERROR), Fault(FaultKind.RESET))
    ask(witness, "refused.1")
    with pytest.raises(ConnectionResetError):
        ask(witness, "reset.1")
    told = {line.attempt_id: line.nano_usd for line in witness.control.bill()}
    witness.control.configure(latency={"base_ms": 60_000})
    cut = send(witness, "cut.1", stream=True)
    wait_for(lambda: len(witness.control.log()) == 5)
    witness.process.kill()
    witness.process.wait()
    cut.close()

    found = {one.arrival.attempt_id: one for one in read_log(witness.log)}
    assert list(found) == ["answered.1", "streamed.1", "refused.1", "reset.1", "cut.1"]
    assert [one.arrival.status for one in found.values()] == [200, 200, 500, 0, 200]
    assert [one.is_answered for one in found.values()] == [True, True, True, False, False]
    assert [one.is_there for one in found.values()] == [True, True, True, False, False]
    assert [one.fault for one in found.values()] == ["", "", "server_error", "reset", ""]
    assert {name: one.bill.nano_usd for name, one in found.items() if one.bill and one.is_answered} == told
    assert found["cut.1"].bill.nano_usd > 0
    assert all(began_at <= one.monotonic_s <= time.monotonic() for one in found.values())


def test_a_stream_is_billed_by_what_it_produced_once_it_ended(witness):
    witness.control.configure(latency={"per_token_ms": 20})
    caller = send(witness, "left.1", stream=True, max_tokens=1_000)
    caller.getresponse().readline()
    begun = read_log(witness.log)[0]
    caller.close()
    one = wait_for(lambda: next((one for one in read_log(witness.log) if one.ended_s), None))
    assert one.bill.output_tokens < begun.bill.output_tokens
    assert (one.is_answered, one.is_there) == (True, False)
    assert [one.bill.output_tokens] == [line.output_tokens for line in witness.control.bill()]


def test_what_was_reset_is_forgotten_and_a_cut_last_line_is_passed_over(witness):
    ask(witness, "before.1")
    witness.control.reset()
    ask(witness, "after.1")
    with witness.log.open("ab") as log:
        log.write(b'{"kind": "arri')
    assert [one.arrival.attempt_id for one in read_log(witness.log)] == ["after.1"]


def test_a_line_that_is_none_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "reset"}\n{"kind": "bill"}\n')
    with pytest.raises(ConfigurationError, match="line 2"):
        read_log(path)
