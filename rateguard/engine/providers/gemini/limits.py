"""What Gemini says of its limits, and what they count.

No header tells of them: a limit is known by the 429 that names it, in its body. Counted are requests a minute and a day and tokens of
input a minute, for each model of a project, and what was spent in ten minutes; failed requests count too. Whether what was read from the
cache counts is not documented; it is taken to. Vertex AI has one pool for all its customers (not verified) and no quota for newer models.
What that means at admission stands in
admissions.py. Sources: Google's pages on rate limits.
"""

from __future__ import annotations

from collections.abc import Mapping

from rateguard.engine.readings import Reading


def readings(_headers: Mapping[str, str]) -> tuple[Reading, ...]:
    """None: Gemini has no such headers."""
    return ()
