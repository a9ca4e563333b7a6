"""Small things in the cells of lists: a bar, a badge, a second line. Their look is `rateguard/admin.css`, in both admins."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

NOTHING = "–"
FULL, NEARLY = 100, 80


def bar(used: int, most: int, words: str, reserved: int = 0) -> SafeString:
    """How much of something is used. reserved: the part of `used` that may come back."""
    share = per_cent(used, most)
    certain = per_cent(used - reserved, most)
    tone = "bad" if share >= FULL else "warn" if share >= NEARLY else "good"
    return format_html(
        '<span class="rg-use"><svg class="rg-bar rg-{}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{} % used">'
        '<rect class="rg-all" width="100" height="8" rx="4"/><rect class="rg-held" width="{}" height="8" rx="4"/>'
        '<rect class="rg-used" width="{}" height="8" rx="4"/></svg><span>{}</span></span>',
        tone,
        share,
        min(share, 100),
        min(certain, 100),
        words,
    )


def per_cent(used: int, most: int) -> int:
    """A whole share, at least 1 where something is used."""
    if most <= 0:
        return FULL if used > 0 else 0
    return max(used * 100 // most, 1 if used > 0 else 0)


def badge(text: str, tone: str = "idle") -> SafeString:
    """A word that stands out. tone: `good`, `warn`, `bad` or `idle`."""
    return format_html('<span class="rg-badge rg-{}">{}</span>', tone, text)


def two_lines(first: object, second: object) -> SafeString:
    """A value, and below it what to know of it; one line where there is nothing."""
    if not second:
        return format_html("{}", first)
    return format_html('<span class="rg-two">{}<span class="rg-more">{}</span></span>', first, second)
