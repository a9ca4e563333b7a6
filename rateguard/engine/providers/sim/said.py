"""What the model says: words, JSON, the arguments of a call, as chance and the request decide."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from rateguard.engine.encodings import O200K, get_encoding
from rateguard.engine.providers.sim.config import Output
from rateguard.engine.providers.sim.faults import FaultKind
from rateguard.engine.providers.sim.voices.asked import Asked, Finish, Said
from rateguard.engine.providers.sim.words import Draw, pick_words

_DEEPEST = 6


def say(asked: Asked, draw: Draw, output: Output, fault: FaultKind | None) -> Said:
    """An answer. A tool is called where one must be, else by chance; JSON fits the schema that was sent. All bounds hold."""
    most_tokens = output.default_max_tokens if asked.max_tokens is None else asked.max_tokens
    if asked.tools and (asked.must_call or draw.place & 1):
        tool = asked.tools[draw.place // 2 % len(asked.tools)]
        return _typed(tool.schema, draw.place, most_tokens, tool.name)
    if asked.schema is not None:
        return _typed(asked.schema, draw.place, most_tokens)
    least = max(1, round(most_tokens * output.least))
    most = max(least, round(most_tokens * output.most))
    tokens = least + int(draw.output * (most - least + 1))
    finish = Finish.LENGTH if tokens >= most_tokens else Finish.STOP
    if fault is FaultKind.FINISH_CONTENT_FILTER:
        finish = Finish.FILTER
    thought = min(tokens - 1, round(tokens * output.reasoning)) if asked.thinks else 0
    reasoning = pick_words(draw.place + 1, thought) if thought else ()
    return Said(pick_words(draw.place, tokens - thought), reasoning, finish=finish)


def _typed(schema: Mapping[str, Any], place: int, most_tokens: int, tool: str = "") -> Said:
    """JSON, token by token; what exceeds the bound is cut, as a model does it."""
    text = json.dumps(make_value(schema, place), separators=(",", ":"))
    encoding = get_encoding(O200K)
    pieces = [encoding.decode([token]) for token in encoding.encode_ordinary(text)]
    if len(pieces) > most_tokens:
        return Said(pieces[:most_tokens], tool=tool, finish=Finish.LENGTH)
    return Said(pieces, tool=tool, finish=Finish.TOOL if tool else Finish.STOP)


def make_value(schema: Mapping[str, Any], place: int) -> Any:
    """A value that a JSON schema takes: types, properties, items, enum, const, anyOf, $ref, ranges. Types may be Gemini's, in capitals.

    >>> make_value({"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}, 0)
    {'n': 3}
    """
    made: Any = _make(schema, schema, place, 0)
    return made


def _make(schema: Mapping[str, Any], root: Mapping[str, Any], place: int, depth: int) -> Any:
    if "$ref" in schema:
        return _make(_resolve(root, schema["$ref"]), root, place, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][place % len(schema["enum"])]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return _make(schema[several][0], root, place, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema or not depth else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    maker = _MAKERS.get(str(kind).lower())
    return maker(schema, root, place, depth) if maker else None


def _make_object(schema: Mapping[str, Any], root: Mapping[str, Any], place: int, depth: int) -> dict[str, Any]:
    """Every property; deep down only those that must be."""
    properties = schema.get("properties") or {}
    if not properties and not depth:
        return {"answer": _make_text({}, root, place, depth)}
    names = properties if depth < _DEEPEST else [name for name in schema.get("required", ()) if name in properties]
    return {name: _make(properties[name], root, place + number, depth + 1) for number, name in enumerate(names)}


def _make_list(schema: Mapping[str, Any], root: Mapping[str, Any], place: int, depth: int) -> list[Any]:
    few = int(schema.get("minItems", 0 if depth >= _DEEPEST else 1))
    return [_make(schema.get("items") or {"type": "string"}, root, place + number, depth + 1) for number in range(few)]


def _make_text(schema: Mapping[str, Any], _: Mapping[str, Any], place: int, __: int) -> str:
    text = "".join(pick_words(place, max(3, int(schema.get("minLength", 0)))))
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _make_number(schema: Mapping[str, Any], _: Mapping[str, Any], place: int, __: int) -> int:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1)
    return int(low + place % max(1, int(high - low) + 1))


_MAKERS: Mapping[str, Any] = {
    "object": _make_object,
    "array": _make_list,
    "string": _make_text,
    "integer": _make_number,
    "number": _make_number,
    "boolean": lambda _, __, place, ___: bool(place % 2),
}


def _resolve(root: Mapping[str, Any], ref: str) -> Mapping[str, Any]:
    """What a `#/…` reference leads to; anything where it leads nowhere."""
    return functools.reduce(lambda found, name: found.get(name) or {}, ref.removeprefix("#/").split("/"), root)
