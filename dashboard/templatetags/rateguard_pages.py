"""How pages write figures: money, counts, times, shares."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from rateguard.engine.money import format_usd

register = template.Library()

MISSING = "–"
FULL, NEARLY = 1.0, 0.8
"""Shares from which a meter is red, and from which it is orange."""
_UNITS = ((86_400_000, "d", 3_600_000, "h"), (3_600_000, "h", 60_000, "min"), (60_000, "min", 1_000, "s"))


@register.filter
def usd(nano_usd: int | None) -> str:
    """Nano-dollars as `$12.345678901`, exact, without zeros at the end; – for nothing known."""
    return MISSING if nano_usd is None else format_usd(nano_usd)


@register.filter
def usd_short(nano_usd: int | None) -> str:
    """Nano-dollars for a column of figures: cents from a dollar on, two significant digits below; `title` gets the exact sum."""
    if nano_usd is None:
        return MISSING
    size = abs(nano_usd)
    if size == 0 or size >= 10**9:
        return f"{'-' if nano_usd < 0 else ''}${size / 10**9:,.2f}"
    digits = max(2, 11 - len(str(size)))
    return f"{'-' if nano_usd < 0 else ''}${size / 10**9:.{digits}f}"


@register.filter
def count(value: int | None) -> str:
    """A whole number with commas."""
    return MISSING if value is None else f"{value:,}"


@register.filter
def short(value: int | None) -> str:
    """A whole number in little room: 12,345, 1.2 M, 3.4 G."""
    if value is None:
        return MISSING
    for size, letter in ((10**9, "G"), (10**6, "M")):
        if abs(value) >= size:
            return f"{value / size:.1f} {letter}"
    return f"{value:,}"


@register.filter
def duration(ms: float | None) -> str:
    """Milliseconds as people say them: 85 ms, 1.2 s, 3 min 20 s, 2 h 5 min."""
    if ms is None:
        return MISSING
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1_000:.1f} s"
    for size, unit, part, part_unit in _UNITS:
        if ms >= size:
            rest = int(ms % size // part)
            return f"{int(ms // size)} {unit}" + (f" {rest} {part_unit}" if rest else "")
    raise AssertionError(ms)


@register.filter
def percent(share: float | None) -> str:
    """A share from 0 to 1 as per cents; one digit more where it is near its ends."""
    if share is None:
        return MISSING
    digits = 1 if 0 < share < 0.1 or 0.99 < share < 1 else 0
    return f"{share * 100:.{digits}f} %"


@register.simple_tag
def moment(at: dt.datetime | None, zone: ZoneInfo) -> str | SafeString:
    """A time in a zone, to the second; machines read it in UTC."""
    if at is None:
        return MISSING
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}")


@register.simple_tag
def meter(share: float | None, label: str) -> SafeString:
    """A bar for a share from 0 to 1. label: what is measured, for who hears the page instead of seeing it."""
    known = min(max(share or 0.0, 0.0), 1.0)
    level = "bad" if known >= FULL else "warn" if known >= NEARLY else "good"
    return format_html(
        '<svg class="meter" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{}: {}">'
        '<rect class="track" width="100" height="8"/><rect class="{}" width="{}" height="8"/></svg>',
        label,
        percent(share),
        level,
        f"{known * 100:.1f}",
    )


@register.simple_tag
def bar(share: float) -> SafeString:
    """A bar for a share whose figure stands beside it, without good and bad."""
    return format_html(
        '<svg class="meter" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="8"/><rect class="good" width="{}" height="8"/></svg>',
        f"{min(max(share, 0.0), 1.0) * 100:.1f}",
    )
