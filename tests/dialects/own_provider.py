"""A provider of a project's own, as docs/providers/adding.md shows one."""

from rateguard.engine.providers.openai.adapter import OpenAIProvider
from rateguard.engine.providers.provider import Provider


class Ours(OpenAIProvider):
    """Speaks OpenAI's dialect; its answers have an id of their own."""

    name = "ours"

    def request_id(self, headers):
        return headers.get("x-ours-id", "")


class Bare(Provider):
    """One without a page that can be asked at no cost."""

    name = "bare"

    def write(self, target, request, *, is_streamed): ...

    def read(self, target, request, reply): ...

    def reader(self, target, request, headers): ...

    def error(self, target, status, headers, body): ...
