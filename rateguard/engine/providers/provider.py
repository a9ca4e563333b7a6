"""What a provider's adapter must do. Subclass `Provider` to speak to one more: docs/providers/adding.md.

An adapter says how a request is written and what comes back means: pure methods on values. `call` and `stream` drive them over one HTTP
exchange. An adapter never retries, sleeps, decides on limits or touches a database.
"""

from __future__ import annotations

import abc
import asyncio
import dataclasses
from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers import features
from rateguard.engine.providers.base import Answer, Chunk, OnChunk, OnSent, Outcome, Request, StreamStopped, Target, Wire
from rateguard.engine.providers.capabilities import Admission, Capabilities
from rateguard.engine.providers.http import HttpClient, OpenReply, Reply
from rateguard.engine.providers.malformed import malformed_answer
from rateguard.engine.providers.patience import Patience, patient
from rateguard.engine.providers.probe import Probe
from rateguard.engine.readings import Reading
from rateguard.engine.tokens import count_input_async, count_output


class Reader(Protocol):
    """Reads one streamed answer. Each method may raise ProviderError for what is malformed or is an error itself."""

    @property
    def is_complete(self) -> bool:
        """Whether the provider said that it had finished: a stream that just ends has been cut."""
        ...

    def feed(self, piece: bytes) -> Iterable[Chunk]:
        """The chunks that these bytes complete, cut wherever the network cut them."""
        ...

    def finish(self) -> Iterable[Chunk]:
        """The body is over: what is left in the last bytes."""
        ...

    def answer(self) -> Answer:
        """The answer put together, whole or as far as it came."""
        ...


class Provider(abc.ABC):
    """One provider's dialect. Stateless but for the HTTP client, and for credentials that it renews by itself.

    name: as a provider account names it, and the price list. check_says_all: what `check` passes, `write` never refuses.
    capabilities: of all its models; `capabilities_of` may say less of one.
    """

    name: ClassVar[str]
    check_says_all: ClassVar[bool] = False
    capabilities: Capabilities = Capabilities()
    admission: Admission = Admission()

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    # ---- the dialect: pure

    def capabilities_of(self, target: Target) -> Capabilities:
        """What this deployment can do."""
        return self.capabilities

    def check(self, target: Target, request: Request) -> None:
        """Refuse what the deployment cannot do, before anything is sent. Raises InvalidRequest (`unsupported_by_provider`)."""
        features.check(self.name, self.capabilities_of(target), request.endpoint, request.body)

    @abc.abstractmethod
    def write(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        """The request on the wire. Raises InvalidRequest (`unsupported_by_provider`) for what cannot be translated."""

    @abc.abstractmethod
    def read(self, target: Target, request: Request, reply: Reply) -> Answer:
        """What a whole answer with status 2xx says. Raises ProviderError where it is none."""

    @abc.abstractmethod
    def reader(self, target: Target, request: Request, headers: Mapping[str, str]) -> Reader:
        """Reads the stream of an answer with status 2xx."""

    @abc.abstractmethod
    def error(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """What an answer with another status means. Nothing of the key is in it."""

    def readings(self, target: Target, headers: Mapping[str, str]) -> tuple[Reading, ...]:
        """What an answer's headers say of the provider's limits."""
        return ()

    def request_id(self, headers: Mapping[str, str]) -> str:
        """By which the provider's support finds the call."""
        return headers.get("x-request-id", "")

    def processing_ms(self, headers: Mapping[str, str]) -> int | None:
        """How long the provider says it worked."""
        return None

    def probe(self, target: Target) -> Probe | None:
        """How to ask, at no cost, whether the provider is there and takes the key; None where there is no such way."""
        return None

    # ---- the exchange

    async def authorize(self, target: Target, wire: Wire) -> Wire:
        """Sign the request, or add a token that had to be fetched. Raises ProviderError (AUTH)."""
        return wire

    async def call(self, target: Target, request: Request, on_sent: OnSent | None = None) -> Outcome:
        """Make one call and wait for its whole answer. Raises ProviderError (NotSent where `on_sent` did); InvalidRequest, nothing sent."""
        wire = await self._prepare(target, request, is_streamed=False)
        reply = await self._http.post(wire, request, on_sent)
        if not 200 <= reply.status < 300:
            raise self._refused(target, reply.status, reply.headers, reply.body)
        answer = self.read(target, request, reply)
        return await self._outcome(target, request, answer, reply)

    async def stream(self, target: Target, request: Request, on_chunk: OnChunk, on_sent: OnSent | None = None) -> Outcome:
        """Make one streamed call; hand each chunk on; the outcome's body is the answer put together.

        Usage is always asked for. A stream that ends without having said that it is finished is a ProviderError (SERVER), one that goes
        silent too (TIMEOUT); `usage` of an error that came within the stream is what had come. Raises as `call`; where its task is
        cancelled within the stream, StreamStopped.
        """
        wire = await self._prepare(target, request, is_streamed=True)
        reader: Reader | None = None
        try:
            async with (
                patient(request.first_token_timeout_s) as patience,
                self._http.exchange(wire, request, _first(on_sent, patience)) as reply,
            ):
                if not 200 <= reply.status < 300:
                    raise self._refused(target, reply.status, reply.headers, await reply.read())
                reader = self.reader(target, request, reply.headers)
                await _read_all(reader, reply, on_chunk, patience)
                return await self._outcome(target, request, reader.answer(), reply)
        except ProviderError as error:
            if reader is not None and error.may_be_billed:
                error.usage = await usage_of(reader.answer(), target, request, is_partial=True)
            raise
        except asyncio.CancelledError:
            if reader is None:
                raise
            raise StreamStopped(await usage_of(reader.answer(), target, request, is_partial=True)) from None

    async def _prepare(self, target: Target, request: Request, *, is_streamed: bool) -> Wire:
        self.check(target, request)
        return await self.authorize(target, self.write(target, request, is_streamed=is_streamed))

    def _refused(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        error = self.error(target, status, headers, body)
        error.readings = self.readings(target, headers)
        return error

    async def _outcome(self, target: Target, request: Request, answer: Answer, reply: Reply | OpenReply) -> Outcome:
        return Outcome(
            body=answer.body,
            usage=await usage_of(answer, target, request),
            finish_reason=answer.finish_reason,
            provider_request_id=self.request_id(reply.headers),
            sent_at=reply.sent_at,
            answered_at=reply.answered_at,
            processing_ms=self.processing_ms(reply.headers),
            readings=self.readings(target, reply.headers),
        )


async def _read_all(reader: Reader, reply: OpenReply, on_chunk: OnChunk, patience: Patience) -> None:
    """Read to the end. Raises ProviderError where the stream was cut, malformed, or carried an error."""
    try:
        async for piece in reply.pieces():
            for chunk in reader.feed(piece):
                patience.hear(has_content=chunk.has_content)
                await on_chunk(chunk)
    except ProviderError as error:
        if error.kind is not ErrorKind.NETWORK or not reader.is_complete:
            raise
    for chunk in reader.finish():
        await on_chunk(chunk)
    if not reader.is_complete:
        raise malformed_answer("the stream was cut: it ended without saying that it was finished")


def _first(on_sent: OnSent | None, patience: Patience) -> OnSent:
    """What is told that a request leaves; unless that is refused, the wait for its answer begins."""

    def tell(at: float) -> None:
        if on_sent is not None:
            on_sent(at)
        patience.begin()

    return tell


async def usage_of(answer: Answer, target: Target, request: Request, *, is_partial: bool = False) -> Usage:
    """As the provider billed; else our own count. Of a part: what the provider said so far, and our count of what came."""
    model = target.upstream_model
    if answer.usage is not None and not is_partial:
        return answer.usage
    told = answer.usage or Usage(input_tokens=await count_input_async(request.body, model, target.provider))
    output_tokens = max(told.output_tokens, count_output(answer.text, model, target.provider))
    return dataclasses.replace(told, output_tokens=output_tokens, estimated=True)
