"""What is answered where no view of ours was reached: an address that does not exist, a form from elsewhere, a fault."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase

from dashboard.page import protected, trouble


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:  # noqa: ARG001 - Django calls it so
    """404: there is no such address."""
    return protected(trouble(request, 404, "There is no such page", "The address may be mistyped, or the page gone."))


def form_from_elsewhere(request: HttpRequest, reason: str = "") -> HttpResponseBase:  # noqa: ARG001 - as above
    """403: a form without the sign that this site gave it, or from an origin that is not trusted."""
    text = "Load the page again and send the form once more. If that does not help, your browser keeps no cookies of this site."
    return protected(trouble(request, 403, "This form is too old, or not from here", text))


def fault(request: HttpRequest) -> HttpResponseBase:
    """500: nothing is asked of the database, which may be what is at fault."""
    text = "It is written down. Load the page again; if it stays, tell whoever runs this service."
    return protected(trouble(request, 500, "Something went wrong here", text, with_person=False))
