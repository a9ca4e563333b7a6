"""`rateguard.transport`: one line puts an official client that exists under the gate, the ledger and the breaker.

    client = openai.OpenAI(http_client=rateguard.transport.http_client(tenant="acme"))
    client = anthropic.AsyncAnthropic(http_client=rateguard.transport.async_http_client(tenant="acme", user="ann"))
    rateguard.transport.attach(boto3.client("bedrock-runtime"), tenant="acme")

`model` names one of rateguard's models. The gate chooses a deployment of it that speaks the client's dialect; its address and credentials
stand in place of the client's own, which are never used.
"""

from rateguard.transport.clients import async_http_client, attach, http_client

__all__ = ["async_http_client", "attach", "http_client"]
