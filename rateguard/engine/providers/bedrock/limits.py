"""What Bedrock's own limits count. Its headers say nothing of them.

Source: Bedrock's user guide, "token burndown" (a third party's quotation): at the start all input, cached or not, and max_tokens are
reserved; at the end `input + cache writes + output × burndown` is used and the rest goes back. Not verified: whether max_tokens is reserved
times the burndown; taken times one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.bedrock.models import output_permille
from rateguard.engine.providers.capabilities import Admission

ADMISSION = ADMISSIONS["bedrock"]
"""Of a model with a burndown of one. What was read from the cache is reserved at the start and released at settlement."""


def admission_of(model_id: str, options: Mapping[str, Any]) -> Admission:
    """Of one deployment: only the burndown differs by model."""
    return dataclasses.replace(ADMISSION, output_permille=output_permille(model_id, options))
