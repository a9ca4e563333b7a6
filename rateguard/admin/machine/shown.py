"""Values as the cells of these lists show them: moments with their zone, money to the last digit, states with their colour."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable
from typing import Any

import orjson
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from rateguard.admin.drawing import NOTHING, badge
from rateguard.engine.money import format_usd
from rateguard.jobs.bodies import is_sealed
from rateguard.jobs.states import State

MOST_BODY_CHARS = 20_000
TONES = {
    State.SUCCEEDED: "good",
    State.RUNNING: "warn",
    State.FAILED: "bad",
    State.EXPIRED: "bad",
    "abandoned": "bad",
    "open": "good",
}
"""Of states of jobs, attempts and runs; the others are idle."""
SECOND_MS, MINUTE_MS = 1_000, 60_000


def moment(value: dt.datetime | None) -> str:
    """A moment in UTC, which it names."""
    return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}\N{NO-BREAK SPACE}UTC" if value else NOTHING


def money(nano_usd: int | None) -> SafeString | str:
    """Dollars, exact."""
    return format_html('<span class="rg-number">{}</span>', format_usd(nano_usd)) if nano_usd is not None else NOTHING


def number(value: int | None) -> SafeString | str:
    """A whole number in groups of three."""
    return format_html('<span class="rg-number">{}</span>', f"{value:,}") if value is not None else NOTHING


def tokens(into: int, out: int) -> SafeString:
    """What went in and what came out."""
    return format_html('<span class="rg-number">{} in, {} out</span>', f"{into:,}", f"{out:,}")


_PARTS = (
    ("cache_write_long_tokens", "written to stay long"),
    ("audio_input_tokens", "of the input sound"),
    ("audio_output_tokens", "of the output sound"),
    ("reasoning_tokens", "of the output thought"),
    ("searches", "searches"),
)


def parts(row: Any) -> str:
    """Of an attempt or an entry: parts of its tokens, searches, its tier, and what else made its price."""
    counted = [f"{getattr(row, name):,} {words}" for name, words in _PARTS if getattr(row, name)]
    return ", ".join([*counted, *([f"tier {row.tier}"] if row.tier else []), *row.terms.split()]) or NOTHING


def duration(ms: int | None) -> str:
    """A time as people say it."""
    if ms is None:
        return NOTHING
    if ms < SECOND_MS:
        return f"{ms} ms"
    return f"{ms / SECOND_MS:.1f} s" if ms < MINUTE_MS else f"{ms // MINUTE_MS} min {ms % MINUTE_MS // SECOND_MS} s"


def state(word: str) -> SafeString:
    """A state in its colour."""
    return badge(word, TONES.get(word, "idle"))


def error(code: str, message: str = "") -> str:
    """What went wrong, in words."""
    return f"{code}: {message}" if code and message else code or NOTHING


def code(text: object) -> SafeString | str:
    """An id."""
    return format_html("<code>{}</code>", text) if text else NOTHING


def plain(text: object) -> object:
    """A text; a dash for none."""
    return text or NOTHING


def link(model: type[Model], pk: object, text: object | None = None, *, site: str = "admin") -> SafeString | str:
    """A link to a row's page, where there is one."""
    if not pk:
        return NOTHING
    options = model._meta  # noqa: SLF001 - a model's public description
    try:
        url = reverse(f"{site}:{options.app_label}_{options.model_name}_change", args=[str(pk)])
    except NoReverseMatch:
        return format_html("{}", pk if text is None else text)
    return format_html('<a href="{}">{}</a>', url, pk if text is None else text)


def lines(texts: Iterable[str]) -> SafeString:
    """Each on a line of its own."""
    return format_html_join("", '<span class="rg-line">{}</span>', ((text,) for text in texts))


def id_link(model: type[Model], pk: object) -> SafeString | str:
    """A link to a row's page by its id."""
    return link(model, pk, code(pk))


def as_json(value: Any) -> SafeString | str:
    """A value as JSON, in lines."""
    return block(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()) if value else NOTHING


def body(text: str | None) -> SafeString | str:
    """A request or an answer, in lines; a very long one up to MOST_BODY_CHARS."""
    if not text:
        return NOTHING
    if is_sealed(text):
        return "it was encrypted with a key that is not there: put it back into ENCRYPTION_KEYS"
    with contextlib.suppress(orjson.JSONDecodeError):  # else as it was stored
        text = orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    rest = len(text) - MOST_BODY_CHARS
    return block(text if rest <= 0 else f"{text[:MOST_BODY_CHARS]}\n… and {rest:,} more characters: GET /api/v1/jobs/ID has all of it")


def block(text: str) -> SafeString:
    """Lines as they are."""
    return format_html('<pre class="rg-body" tabindex="0">{}</pre>', text)
