"""Azure OpenAI, in both forms of its addresses, with a key or with Entra's tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.azure.credentials import EntraTokens
from rateguard.engine.providers.azure.options import options_of
from rateguard.engine.providers.azure.request import QUIRKS, base_of, write
from rateguard.engine.providers.base import Endpoint, Request, Target, Wire
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.openai.adapter import OpenAIProvider
from rateguard.engine.providers.openai.request import headers_for
from rateguard.engine.providers.probe import Probe


class AzureProvider(OpenAIProvider):
    """OpenAI's models at Azure. Answers, streams and errors are OpenAI's, with what Azure's content filter says beside them."""

    name = "azure"
    quirks = QUIRKS
    admission = ADMISSIONS["azure"]

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._tokens = EntraTokens(http)

    def model_of(self, target: Target) -> str:
        """The option `base_model`, else the deployment's name."""
        return options_of(target).model

    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """At the deployment, or with it as the model."""
        return write(target, options_of(target), request, is_streamed=is_streamed)

    async def authorize(self, target: Target, wire: Wire) -> Wire:
        """Adds Entra's token where the account has that."""
        options = options_of(target)
        if not options.is_entra:
            return wire
        token = await self._tokens.token(target.api_key, options.cloud)
        return dataclasses.replace(wire, headers={**wire.headers, "Authorization": f"Bearer {token}"})

    def request_id(self, headers: Mapping[str, str]) -> str:
        """`x-request-id`, else that of the gateway in front."""
        return headers.get("x-request-id") or headers.get("apim-request-id", "")

    def probe(self, target: Target) -> Probe | None:
        """The list of models at the resource. It names what could be deployed, not what is, so no names are taken from it."""
        options = options_of(target)
        headers = headers_for(target, Request(Endpoint.CHAT, {}, ""), QUIRKS)
        if options.is_entra:
            if target.api_key.startswith("{"):
                return None  # its token has to be fetched first
            headers |= {"Authorization": f"Bearer {headers.pop(QUIRKS.key_header, '')}"}
        place = f"/models?api-version={options.api_version}" if options.api_version else "/v1/models"
        return Probe(f"{base_of(target)}/openai{place}", headers, lambda _body: ())
