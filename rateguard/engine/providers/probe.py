"""Whether a provider is there and takes a key, asked in a way that costs nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import orjson


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """A GET that spends no token. names: finds in the answer what the provider calls its models, () where it does not say."""

    url: str
    headers: Mapping[str, str] = dataclasses.field(repr=False)
    names: Callable[[bytes], tuple[str, ...]]


def names_in_data(body: bytes) -> tuple[str, ...]:
    """The models of OpenAI's list: `data[].id`; a bare list, as Together's, likewise."""
    try:
        told = orjson.loads(body)
        listed = told["data"] if isinstance(told, dict) else told
        return tuple(sorted(str(one["id"]) for one in listed))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ()
