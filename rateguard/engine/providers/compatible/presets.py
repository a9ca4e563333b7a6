"""A preset: all that is to be known of a provider that speaks OpenAI's dialect, read strictly from presets.toml or a project's settings.

The keys: base_url (where it lies, unless an account says otherwise), endpoints (chat, embeddings, responses), paths (by endpoint),
key_header, key_prefix, headers, extra (sent within every chat), max_tokens (the field's name), renames, refuses (fields that it does not
take), lacks (features, see capabilities.py), models (`{prefix, lacks}`: models that lack more), most_stops, most_inputs, cache_control and
reasoning (what of a message it takes), asks_usage, reasoning_field, parts, finish, broken, tiers, rewrites_usage, cached_header, errors
(a status or a code → a kind of error), limits (whose limit headers it has, see openai/limits.py), default_limits (in people's
words: a new account gets them, what nobody verified as `learned`), admission (what its own limits count).
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rateguard.engine.errors import ConfigurationError, ErrorKind
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.providers.capabilities import EVERYTHING, Admission, Capabilities, Feature
from rateguard.engine.providers.openai.limits import LIMIT_DIALECTS
from rateguard.engine.providers.openai.quirks import PATHS, Quirks


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Preset:
    """One provider. lacks_by_model: the beginning of models' names → what those lack beside. default_limits: like `learned 40/min`."""

    name: str
    base_url: str
    quirks: Quirks
    capabilities: Capabilities
    admission: Admission
    lacks_by_model: tuple[tuple[str, frozenset[Feature]], ...] = ()
    default_limits: tuple[str, ...] = ()


class _Wrong(Exception):
    """A value is not what it should be; the text says what to write."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Wrong("a text")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _Wrong("a whole number of at least 1")
    return value


def _url(value: object) -> str:
    if not isinstance(value, str) or (value and not value.startswith(("http://", "https://"))):
        raise _Wrong("a URL with http or https")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise _Wrong("a list of texts")
    return tuple(value)


def _pairs(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(part, str) for pair in value.items() for part in pair):
        raise _Wrong("a table of texts")
    return dict(value)


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise _Wrong("a table")
    return dict(value)


def _one_of(words: Mapping[str, Any]) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        if not isinstance(value, str) or value not in words:
            raise _Wrong(f"one of {', '.join(sorted(words))}")
        return words[value]

    return read


_FEATURES = {one.value: one for one in Feature}
_ENDPOINTS = {one.value: one for one in Endpoint}
_KINDS = {one.value: one for one in ErrorKind}
_MAX_TOKENS = {name: name for name in ("max_tokens", "max_completion_tokens")}


def _features(value: object) -> frozenset[Feature]:
    return frozenset(_one_of(_FEATURES)(one) for one in _texts(value))


def _models(value: object) -> tuple[tuple[str, frozenset[Feature]], ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) and set(one) == {"prefix", "lacks"} for one in value):
        raise _Wrong('a list of tables like {prefix = "name-", lacks = ["stop"]}')
    return tuple((_text(one["prefix"]), _features(one["lacks"])) for one in value)


def _errors(value: object) -> dict[str, ErrorKind]:
    return {str(name): _one_of(_KINDS)(kind) for name, kind in _table({str(name): kind for name, kind in _any(value)}).items()}


def _any(value: object) -> list[tuple[object, object]]:
    if not isinstance(value, Mapping):
        raise _Wrong("a table")
    return list(value.items())


def _admission(value: object) -> Admission:
    known = {field.name: field for field in dataclasses.fields(Admission)}
    for name, part in _table(value).items():
        if name not in known or type(part) is not type(known[name].default):
            raise _Wrong(f"some of {', '.join(known)}, each of its kind")
    return Admission(**_table(value))


_KEYS: Mapping[str, Callable[[object], Any]] = {
    "base_url": _url,
    "endpoints": lambda value: frozenset(_one_of(_ENDPOINTS)(one) for one in _texts(value)),
    "paths": lambda value: {_one_of(_ENDPOINTS)(endpoint): path for endpoint, path in _pairs(value).items()},
    "key_header": _text,
    "key_prefix": _text,
    "headers": _pairs,
    "extra": _table,
    "max_tokens": _one_of(_MAX_TOKENS),
    "renames": _pairs,
    "refuses": _texts,
    "lacks": _features,
    "models": _models,
    "most_stops": _count,
    "most_inputs": _count,
    "cache_control": _switch,
    "reasoning": _switch,
    "asks_usage": _switch,
    "reasoning_field": _text,
    "parts": _switch,
    "finish": _pairs,
    "broken": _texts,
    "tiers": _pairs,
    "rewrites_usage": _switch,
    "cached_header": _text,
    "errors": _errors,
    "limits": _one_of(LIMIT_DIALECTS),
    "default_limits": _texts,
    "admission": _admission,
}
_AS_THEY_ARE = ("key_header", "key_prefix", "headers", "extra", "asks_usage", "reasoning_field", "parts", "finish", "rewrites_usage")


def parse_preset(name: str, given: object) -> Preset:
    """A preset from a table. Raises ConfigurationError, which names the key and what to write."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"the preset {name} is {type(given).__name__}: write a table of its keys")
    read: dict[str, Any] = {}
    for key, value in given.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1, cutoff=0.0)[0]
            raise ConfigurationError(f'the preset {name} has no key "{key}"; the nearest is "{near}"')
        try:
            read[key] = _KEYS[key](value)
        except _Wrong as wrong:
            raise ConfigurationError(f'"{key}" of the preset {name} is {value!r}: write {wrong}') from None
    features = EVERYTHING - read.get("lacks", frozenset())
    endpoints = read.get("endpoints", frozenset({Endpoint.CHAT, Endpoint.EMBEDDINGS}))
    return Preset(
        name,
        read.get("base_url", ""),
        _quirks(read),
        Capabilities(endpoints, features, most_stops=read.get("most_stops")),
        read.get("admission", Admission()),
        read.get("models", ()),
        read.get("default_limits", ()),
    )


def _quirks(read: Mapping[str, Any]) -> Quirks:
    given = {key: read[key] for key in (*_AS_THEY_ARE, "tiers", "cached_header", "limits") if key in read}
    kinds: Mapping[str, ErrorKind] = read.get("errors", {})
    return Quirks(
        **given,
        paths={**PATHS, **read.get("paths", {})},
        max_tokens_field=read.get("max_tokens", "max_tokens"),
        renamed=read.get("renames", {}),
        refused=frozenset(read.get("refuses", ())),
        asks_no_padding=False,
        passes_cache_control=read.get("cache_control", False),
        passes_reasoning=read.get("reasoning", False),
        most_inputs=read.get("most_inputs"),
        broken=frozenset(read.get("broken", ())),
        kinds_by_status={int(name): kind for name, kind in kinds.items() if name.isdecimal()},
        kinds_by_word={name: kind for name, kind in kinds.items() if not name.isdecimal()},
    )


def _read_file() -> dict[str, Preset]:
    text = Path(__file__).with_name("presets.toml").read_text(encoding="utf-8")
    return {name: parse_preset(name, given) for name, given in tomllib.loads(text).items()}


PRESETS: Mapping[str, Preset] = _read_file()
"""Those that come along."""
