"""Every fault in every dialect: none of them breaks the simulated provider itself, and each stands in its journal."""

import http.client
import json

import pytest

from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.process import SimHandle
from tests.simprovider import sim, sim_process  # noqa: F401 - fixtures

pytestmark = pytest.mark.long

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
GEMINI = {"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 20}}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"maxTokens": 20}}
OLD = {"anthropic-version": "2023-06-01"}
VERTEX = "/v1/projects/p/locations/l/publishers"
DIALECTS = {
    "openai": ("/v1/chat/completions", CHAT, {}),
    "openai_streamed": ("/v1/chat/completions", {**CHAT, "stream": True}, {}),
    "responses": ("/v1/responses", {"model": "m", "input": "Hi", "max_output_tokens": 20}, {}),
    "responses_streamed": ("/v1/responses", {"model": "m", "input": "Hi", "max_output_tokens": 20, "stream": True}, {}),
    "azure": ("/openai/deployments/d/chat/completions?api-version=2024-10-21", CHAT, {}),
    "azure_streamed": ("/openai/v1/chat/completions", {**CHAT, "stream": True}, {}),
    "anthropic": ("/v1/messages", CHAT, OLD),
    "anthropic_streamed": ("/v1/messages", {**CHAT, "stream": True}, OLD),
    "bedrock": ("/model/m/converse", CONVERSE, {}),
    "bedrock_streamed": ("/model/m/converse-stream", CONVERSE, {}),
    "gemini": ("/v1/models/m:generateContent", GEMINI, {}),
    "gemini_streamed": ("/v1/models/m:streamGenerateContent?alt=sse", GEMINI, {}),
    "gemini_array": ("/v1/models/m:streamGenerateContent", GEMINI, {}),
    "vertex": (f"{VERTEX}/google/models/m:generateContent", GEMINI, {}),
    "vertex_claude": (f"{VERTEX}/anthropic/models/m:rawPredict", {**CHAT, "anthropic_version": "vertex-2023-10-16"}, {}),
}


def ask(url: str, dialect: str, **changes) -> tuple[int, bytes]:
    """Status and body, 0 where the connection was broken; a body that was cut is what came of it."""
    path, body, headers = DIALECTS[dialect]
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        sent = {"Authorization": "Bearer k", "X-Client-Request-Id": "a-1", **headers}
        connection.request("POST", path, json.dumps({**body, **changes}), sent)
        reply = connection.getresponse()
        return reply.status, reply.read()
    except http.client.IncompleteRead as cut:
        return 200, cut.partial
    except OSError:
        return 0, b""
    finally:
        connection.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_fault_is_met_and_the_next_request_is_answered(sim: SimHandle, dialect):  # noqa: F811
    for kind in FaultKind:
        sim.control.add_faults(Fault(kind, wait_ms=1))
        status, body = ask(sim.url, dialect)
        assert body != b"Internal Server Error", kind
        assert ask(sim.url, dialect)[0] == 200, kind
        assert status in {0, 200, 400, 401, 403, 408, 429, 500, 502, 503, 504, 529}, kind

    log = sim.control.log()
    refused = [arrival for arrival in log if not arrival.is_accepted]
    assert sim.control.stats()["faults_served"] == len(FaultKind)
    assert len(log) == 2 * len(FaultKind)
    assert len(sim.control.bill()) == len(log) - len(refused)
    assert {arrival.attempt_id for arrival in log} == {"a-1"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_makes_no_sense_is_refused_in_every_dialect(sim: SimHandle, dialect):  # noqa: F811
    for changes in ({"messages": 7, "contents": 7, "input": 7}, {"messages": [7], "contents": [7], "input": None}):
        status, body = ask(sim.url, dialect, **changes)
        assert status == 400, body
    sim.control.configure(keys=["sk-bob"])
    assert ask(sim.url, dialect)[0] in {400, 401, 403}
    assert sim.control.log() == []
