"""A link for whoever started a line: it signs them in to the dashboard, once."""

from __future__ import annotations

import io
import json

from django.core.management import call_command


def sign_in_link(operator: str, url: str, good_for: str = "1h") -> str:
    """A link for this operator, who is made where there is none. url: where the web process is reached, without a path.

    The dashboard is known to nobody but itself, so its own command is asked.
    """
    out = io.StringIO()
    call_command("signin", operator, "--create-operator", "--json", "--url", url, "--for", good_for, stdout=out)
    return str(json.loads(out.getvalue())["url"])
