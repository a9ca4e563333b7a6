"""What differs between Bedrock's models, as data: found by the beginning of the model id, the longest that fits.

What Claude takes stands in anthropic/models.py; here is what Bedrock adds or lacks. Sources: Bedrock's user guide (structured output,
prompt caching) and a third party's quotation of its page on the burndown of quotas. Not verified against the service: the burndown of the
models that the page does not name, such as the 5.5 ones (taken as 1, as it says of all others), and which of Converse's fields each other
vendor's model takes: where it does not, Bedrock answers 400 before it bills. A deployment's option `capabilities` overrides the features,
`output_permille` the burndown, and `base_model` says what stands behind an id that does not tell, such as an application inference profile.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.anthropic import models as claude
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.capabilities import Feature

_CONVERSE = frozenset(
    {
        Feature.TOOLS,
        Feature.FORCED_TOOL,
        Feature.IMAGES,
        Feature.FILES,
        Feature.JSON_MODE,
        Feature.JSON_SCHEMA,
        Feature.SAMPLING,
        Feature.STOP,
        Feature.PREFILL,
        Feature.SERVICE_TIER,
    }
)
"""What Converse has words for. The rest of Feature it has not: several choices, seed, log probabilities, penalties, audio, prediction."""
_CLAUDE_TOO = frozenset({Feature.TOP_K, Feature.REASONING})
"""What Claude takes beside it, in additionalModelRequestFields."""


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """One family. has_schemas: it takes outputConfig.textFormat; without it JSON comes by a forced tool. caches: it takes cachePoint.

    top_k: the path of that field in additionalModelRequestFields, () for none. claude: what Anthropic's table says, None for the others,
    whose reasoning cannot be asked for.
    """

    features: frozenset[Feature] = _CONVERSE
    has_schemas: bool = True
    caches: bool = False
    top_k: tuple[str, ...] = ()
    claude: claude.Model | None = None


_NOVA = Model(_CONVERSE | {Feature.TOP_K}, has_schemas=False, caches=True, top_k=("inferenceConfig", "topK"))
_OTHERS: Mapping[str, Model] = {
    "": Model(),
    "amazon.nova": _NOVA,
    "amazon.nova-micro": dataclasses.replace(_NOVA, features=_NOVA.features - {Feature.IMAGES, Feature.FILES}),
}
_CLAUDE = "anthropic.claude-"

BURNDOWN_PERMILLE: Mapping[str, int] = {
    "": 1000,
    "anthropic.claude-3-7": 5000,
    "anthropic.claude-opus-4": 5000,
    "anthropic.claude-sonnet-4": 5000,
    "anthropic.claude-haiku-4": 5000,
    "anthropic.claude-opus-4-8": 15_000,
    "anthropic.claude-sonnet-5": 10_000,
    "anthropic.claude-sonnet-5-5": 1000,
    "anthropic.claude-opus-5": 10_000,
    "anthropic.claude-opus-5-5": 1000,
    "anthropic.claude-fable-5-1": 10_000,
    "openai.gpt-5.6": 10_000,
}
"""Thousandths of a token of quota that a token of output takes in the end."""

_REGIONAL = re.compile(r"^(?:us-gov|us|eu|apac|global|jp|au)\.")


def base_id(model_id: str) -> str:
    """The id without its ARN and without the prefix of an inference profile.

    >>> base_id("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-6")
    'anthropic.claude-sonnet-4-6'
    """
    return _REGIONAL.sub("", model_id.rsplit("/", 1)[-1])


def model_of(target: Target) -> Model:
    """What is known of the deployment's model, with what its options say. Raises ConfigurationError."""
    said = target.options.get("capabilities")
    return _told(target, said) if said else _known(_id_of(target.upstream_model, target.options))


def output_permille(model_id: str, options: Mapping[str, Any]) -> int:
    """The burndown of a deployment's quota. An option that is no such number says nothing: the gate must go on."""
    said = options.get("output_permille")
    if isinstance(said, int) and not isinstance(said, bool) and said > 0:
        return said
    return int(_longest(BURNDOWN_PERMILLE, base_id(_id_of(model_id, options))))


def _id_of(model_id: str, options: Mapping[str, Any]) -> str:
    return str(options.get("base_model") or model_id)


def _longest(table: Mapping[str, Any], plain_id: str) -> Any:
    return table[max((beginning for beginning in table if plain_id.startswith(beginning)), key=len)]


@functools.lru_cache(maxsize=1024)
def _known(model_id: str) -> Model:
    plain = base_id(model_id)
    if plain.startswith(_CLAUDE):
        return _as_claude(Target("bedrock", "", "", plain))
    found: Model = _longest(_OTHERS, plain)
    return found


def _as_claude(target: Target) -> Model:
    """Claude, as Anthropic's own table says, in what Converse can say of it."""
    known, features = claude.model_of(target), claude.capabilities_of(target).features
    return Model(
        features=(features & (_CONVERSE | _CLAUDE_TOO)) | {Feature.SERVICE_TIER},
        has_schemas=known.structured,
        caches=True,
        top_k=("top_k",),
        claude=known,
    )


def _told(target: Target, said: Any) -> Model:
    """What the tables say, changed by the option `capabilities`: `{"prefill": false}`."""
    plain = base_id(_id_of(target.upstream_model, target.options))
    if plain.startswith(_CLAUDE):
        found = _as_claude(dataclasses.replace(target, upstream_model=plain))
    else:
        found = _known(plain)
        if not isinstance(said, Mapping) or not set(said) <= set(Feature):
            raise ConfigurationError(f"the option capabilities is an object of true or false for: {', '.join(sorted(Feature))}")
    named = {name: has for name, has in said.items() if name in set(Feature)}
    on, off = ({Feature(name) for name, has in named.items() if has is wanted} for wanted in (True, False))
    return dataclasses.replace(found, features=(found.features | on) - off)
