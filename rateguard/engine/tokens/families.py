"""Families of models: how far their tokens are from OpenAI's, and how they see images. Data, with where it is from.

Only OpenAI's encodings are public. Every other family multiplies OpenAI's count (o200k) by a factor for what is reserved: a little too
much is given back, too little is an overrun. What a deployment's answers say corrects it (calibration.py). Sources: measured against the
vocabularies of DeepSeek V3, Mistral and old Claude where those are public; Claude from 4.7 on by its vendor's word (about 30 % more than
before); Gemini, Llama, Nova, Qwen, GLM and Kimi are guesses with a margin, not verified.
"""

from __future__ import annotations

import dataclasses
import functools
import re

PERMILLE = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """Models that count alike. latin_permille, other_permille: of OpenAI's count, for Latin letters and for other scripts.

    tools_tokens: what a request with tools has beside them. images: the name of the rule in images.py. audio_tokens_s: a second of sound.
    """

    name: str
    latin_permille: int = PERMILLE
    other_permille: int = PERMILLE
    tools_tokens: int = 0
    images: str = "unknown"
    audio_tokens_s: int = 32

    @property
    def is_exact(self) -> bool:
        """Whether OpenAI's own encoding is the one that counts."""
        return self.latin_permille == self.other_permille == PERMILLE


OPENAI = Family("openai", images="openai", audio_tokens_s=10)
"""Sound: ten tokens a second, not verified."""
CLAUDE = Family("claude", 1_150, 1_500, tools_tokens=346, images="claude")
NEW_CLAUDE = Family("claude from 4.7 on", 1_500, 1_950, tools_tokens=346, images="new_claude")
"""tools_tokens: the vendor's own page said so of Claude 4, not verified for later ones."""
GEMINI = Family("gemini", 1_100, 1_100, images="gemini")
LLAMA = Family("llama", 1_050, 1_300)
QWEN = Family("qwen", 1_050, 1_050)
MISTRAL = Family("mistral", 1_100, 1_100)
DEEPSEEK = Family("deepseek", 1_200, 1_200)
OTHER = Family("unknown", 1_150, 1_500)
"""Nobody said anything: as old Claude, the worst that was measured."""

_BY_WORD = (
    (GEMINI, ("gemini", "gemma")),
    (LLAMA, ("llama", "nova")),
    (QWEN, ("qwen", "qwq", "glm", "kimi")),
    (MISTRAL, ("mistral", "mixtral", "ministral", "codestral", "magistral", "devstral", "pixtral")),
    (DEEPSEEK, ("deepseek",)),
    (OPENAI, ("gpt", "text-embedding", "davinci", "openai/")),
)
_BY_PROVIDER = {
    "openai": OPENAI,
    "azure": OPENAI,
    "sim": OPENAI,
    "testing": OPENAI,
    "anthropic": NEW_CLAUDE,
    "gemini": GEMINI,
    "vertex": GEMINI,
    "mistral": MISTRAL,
    "deepseek": DEEPSEEK,
}
_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_NEW_FROM = (4, 7)


@functools.lru_cache(maxsize=1024)
def family_of(provider: str, model: str) -> Family:
    """The family of a provider's model: by the model's name, which says more where others serve it, else by the provider.

    >>> [family_of("bedrock", name).name for name in ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-pro-v1:0")]
    ['claude', 'llama']
    >>> family_of("groq", "openai/gpt-oss-120b").name, family_of("anthropic", "claude-opus-4-8").name, family_of("vllm", "own").name
    ('openai', 'claude from 4.7 on', 'unknown')
    """
    name = model.lower()
    if "claude" in name:
        found = _CLAUDE.search(name)
        version = (int(found[1]), int(found[2] or 0)) if found else _NEW_FROM
        return NEW_CLAUDE if version >= _NEW_FROM else CLAUDE
    named = next((family for family, words in _BY_WORD if any(word in name for word in words)), None)
    return named or _BY_PROVIDER.get(provider, OTHER)
