"""A reader of a job's events who is cut, comes back to the other web process and goes on where he was."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import uuid
from typing import Any

import aiohttp
import orjson

from rateguard.torture.work.asking import Asker

ENDS = {"succeeded", "failed", "cancelled", "expired"}
LEAVES = 0.15
"""The chance that a reader leaves after an event, as a telephone in a tunnel does."""
SILENCE_S = 20.0
PAUSE_S = 0.5
OVER = 204


@dataclasses.dataclass(slots=True)
class Told:
    """What one reader was told of a job. ends: each that was told; times: how often he came back."""

    job: uuid.UUID
    text: str = ""
    ends: list[str] = dataclasses.field(default_factory=list)
    times: int = 0
    last_id: str = ""


async def read_to_end(asker: Asker, secret: str, job: uuid.UUID, chance: random.Random) -> Told:
    """Read until an end is told, or the campaign is over."""
    told, web = Told(job), chance.randrange(2)
    while not told.ends and not asker.is_closing:
        told.times += 1
        web += 1
        try:
            if await _read_once(asker, secret, told, web, chance) == OVER:
                break
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
        await asyncio.sleep(PAUSE_S)
    return told


async def _read_once(asker: Asker, secret: str, told: Told, web: int, chance: random.Random) -> int:
    """One connection, until it breaks, the reader leaves, or the end comes. Returns the status."""
    headers = {"Authorization": f"Bearer {secret}", **({"Last-Event-ID": told.last_id} if told.last_id else {})}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_S)
    address = f"{asker.address(web)}/api/v1/jobs/{told.job}/events"
    async with asker.session.get(address, headers=headers, timeout=timeout) as reply:
        if reply.status != 200:
            return reply.status
        fields: dict[str, list[str]] = {}
        async for raw in reply.content:
            line = raw.decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields.setdefault(name, []).append(value)
                continue
            if "event" in fields:
                _take(told, fields)
                if told.ends or chance.random() < LEAVES:
                    break
            fields = {}
        return reply.status


def _take(told: Told, fields: dict[str, list[str]]) -> None:
    """One whole event."""
    (name,), data = fields["event"], "\n".join(fields.get("data", []))
    if "id" in fields:
        told.last_id = fields["id"][0]
    if name == "restarted":
        told.text = ""
    elif name == "chunk":
        told.text += _text_of(orjson.loads(data))
    elif name in ENDS:
        told.ends.append(name)


def _text_of(answer: Any) -> str:
    """The text of a piece, or of a whole answer."""
    return "".join((choice.get("delta") or choice.get("message") or {}).get("content") or "" for choice in answer.get("choices", ()))
