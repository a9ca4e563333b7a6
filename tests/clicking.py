"""A person's click on a link, without a browser: cookies are kept, redirects followed."""

import urllib.request
from http.cookiejar import CookieJar

__all__ = ["clicked"]


def clicked(link: str) -> tuple[str, str]:
    """The path where a link leads in the end, and the page there. Raises HTTPError for what is no page."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with browser.open(link, timeout=30) as response:
        return response.url.split("/", 3)[3], response.read().decode()
