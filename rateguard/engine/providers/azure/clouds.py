"""Where Azure's clouds give out tokens, and for what. Source: Microsoft's pages; the two that are not public are not verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Cloud:
    """authority: who signs in. scope: what a token is asked for."""

    authority: str
    scope: str


CLOUDS: Mapping[str, Cloud] = {
    "public": Cloud("https://login.microsoftonline.com", "https://cognitiveservices.azure.com/.default"),
    "government": Cloud("https://login.microsoftonline.us", "https://cognitiveservices.azure.us/.default"),
    "china": Cloud("https://login.partner.microsoftonline.cn", "https://cognitiveservices.azure.cn/.default"),
}
