"""`manage.py signin`: a link that signs somebody in once."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.urls import NoReverseMatch, reverse

from dashboard.links import GOOD_FOR, LONGEST, make_link
from rateguard.management.shell import ShellCommand, span, told_in_words
from rateguard.management.verbs import actor
from tenants.changes.members import make_operator, person


class Command(ShellCommand):
    """For a first start, a new member, and whoever lost a password."""

    help = "Print a link that signs somebody in, once. It is good for half an hour, or for as long as --for says."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whom, for how long, and where the pages are."""
        super().add_arguments(parser)
        parser.add_argument("name", help="the user's name")
        parser.add_argument("--for", dest="good_for", type=span, default=GOOD_FOR, help="90s, 30m, 2h, 7d at most; 30m by default")
        parser.add_argument(
            "--create-operator", action="store_true", help="make the person, as an operator, where there is none of the name"
        )
        parser.add_argument(
            "--url", help="where people reach the pages, such as https://llm.example.com; the setting RATEGUARD_URL by default"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make the link, and print it."""
        with told_in_words():
            url, good_for = _base(options["url"]), options["good_for"]
            if not 0 < good_for.total_seconds() <= LONGEST.total_seconds():
                raise CommandError(f"--for: a link is good for at least a second and at most {LONGEST.days} days")
            user = make_operator(actor(), options["name"]) if options["create_operator"] else _known(options["name"])
            link = f"{url}{_path(make_link(user, good_for))}"
        minutes = good_for.total_seconds() / 60
        values = {"object": "sign_in_link", "username": user.get_username(), "url": link, "good_for_s": int(good_for.total_seconds())}
        self.show(options, values, f"{link}\n\nsigns {user.get_username()} in, once, within {minutes:g} min")


def _known(name: str) -> Any:
    """The person. Raises CommandError, which says how people come to be."""
    user = person(name)
    if user is None:
        known = ", ".join(get_user_model()._default_manager.order_by("pk").values_list(get_user_model().USERNAME_FIELD, flat=True)[:10])  # noqa: SLF001 - Django's own name
        told = f"there are: {known}" if known else "there are none yet"
        ways = f"manage.py member add {name} --tenant TENANT makes a member, manage.py signin {name} --create-operator an operator"
        raise CommandError(f"there is no person {name!r}; {told}. {ways}")
    if not user.is_active:
        raise CommandError(f"{name} may not sign in: the user is not active")
    return user


def _base(given: str | None) -> str:
    """Where people reach the pages, without a path. Raises CommandError."""
    url = (given or getattr(settings, "RATEGUARD_URL", "") or "").rstrip("/")
    parts = urlsplit(url)
    if not url:
        raise CommandError("say where people reach the pages: --url https://llm.example.com, or the variable RATEGUARD_URL")
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise CommandError(f"{url!r} is no address: write it like https://llm.example.com")
    return url


def _path(secret: str) -> str:
    try:
        return reverse("dashboard:signin-link", args=[secret])
    except NoReverseMatch:
        raise CommandError('the pages have no address yet: add path("dashboard/", include("dashboard.urls")) to the urls') from None
