"""A caller's client for tests of the API, and what every refusal looks like."""

import orjson
from django.test import Client

__all__ = ["Api", "problem_of"]


class Api:
    """A caller's client."""

    def __init__(self, secret):
        self._client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})

    def submit(self, body, **headers):
        sent = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.send("post", "/api/v1/jobs", sent, **headers)

    def send(self, method, path, body=b"", content_type="application/json", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.generic(method.upper(), path, body, content_type=content_type, headers=named)

    def get(self, path, **headers):
        return self.send("get", path, **headers)

    def post(self, path, body=None):
        return self.send("post", path, b"" if body is None else orjson.dumps(body))

    def delete(self, path):
        return self.send("delete", path)


def problem_of(response, status, code):
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert set(problem) == {"type", "title", "status", "detail", "code", "errors", "request_id"}
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert problem["type"].endswith(code)
    return problem
